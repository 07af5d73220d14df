"""Win rates: each sample counts against all, itself at a half, and only differences of scores matter."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfimprove.methods.selection.sppo_pairs import SppoPairs
from selfimprove.records import Preference


@pytest.fixture
def pair(make_context: Callable, make_rollout: Callable) -> Callable[..., Preference | None]:
    """`pair([0.0, 1.0])`: the pair of one prompt whose completions 0, 1, ... have these scores."""

    def run(scores: list[float | None], **options: float) -> Preference | None:
        offered = [make_rollout(str(i), reward=score) for i, score in enumerate(scores)]
        made = SppoPairs(**options).select(offered, make_context(round=3))
        return made[0] if made else None

    return run


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_by_hand(pair: Callable) -> None:
    made = pair([0.0, 2.0, None, 1.0])
    assert (made.chosen[-1]["content"], made.rejected[-1]["content"]) == ("1", "0")
    assert made.info["p_chosen"] == pytest.approx((0.5 + sigmoid(1) + sigmoid(2)) / 3)
    assert made.info["p_rejected"] == pytest.approx((0.5 + sigmoid(-1) + sigmoid(-2)) / 3)
    assert (made.info["chosen_score"], made.info["rejected_score"]) == (2.0, 0.0)
    assert len(made.parents) == 2


def test_a_verifier_s_scores_and_a_scale(pair: Callable) -> None:
    assert pair([1.0, 0.0]).info["p_chosen"] == pytest.approx((0.5 + sigmoid(1)) / 2)
    sharp = pair([1.0, 0.0, 0.0, 0.0], scale=1000.0)
    assert sharp.info["p_chosen"] == pytest.approx(0.875) and sharp.info["p_rejected"] == pytest.approx(0.375)


def test_no_pair_where_nothing_is_better(pair: Callable, make_context: Callable, make_rollout: Callable) -> None:
    assert pair([0.5, 0.5]) is None and pair([0.5]) is None and pair([None, None]) is None and pair([]) is None
    same = [make_rollout("a", reward=1.0), make_rollout("a", reward=0.0)]
    assert SppoPairs().select(same, make_context()) == []


@given(st.lists(st.integers(-3, 3), min_size=2, max_size=6), st.integers(-5, 5))
def test_rates_lie_around_a_half_and_do_not_see_a_shift(pair: Callable, scores: list[int], shift: int) -> None:
    made, moved = pair(scores), pair([score + shift for score in scores])
    if len(set(scores)) == 1:
        assert made is None and moved is None
        return
    assert 0 < made.info["p_rejected"] < 0.5 < made.info["p_chosen"] < 1
    assert moved.info["p_chosen"] == pytest.approx(made.info["p_chosen"])
    mirrored = pair([-score for score in scores])
    assert mirrored.info["p_rejected"] == pytest.approx(1 - made.info["p_chosen"])


def test_scores_that_are_win_rates_are_taken_as_they_are(make_context: Callable, make_rollout: Callable) -> None:
    group = [make_rollout(f"#{i}", reward=rate) for i, rate in enumerate((0.2, 0.9, 0.4))]
    [pair] = SppoPairs(rates=True).select(group, make_context())
    assert (pair.info["p_chosen"], pair.info["p_rejected"]) == (0.9, 0.2)
