"""The slope before the limit: 0 where it begins, -1 at the limit, and TRL's numbers in between."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfimprove.errors import RecipeError
from selfimprove.methods.reward.soft_overlong import SoftOverlong


@pytest.mark.parametrize(
    ("length", "score"),
    [(0, 0.0), (79, 0.0), (80, 0.0), (81, -0.05), (90, -0.5), (100, -1.0), (101, -1.0), (999, -1.0)],
)
def test_by_hand(make_context: Callable, make_rollout: Callable, length: int, score: float) -> None:
    groups = [[make_rollout("x" * length), make_rollout("x", logprobs={"sum": 0.0, "count": length})]]
    reward = SoftOverlong(max_length=100, margin=20)
    assert reward.rate(groups, make_context()) == [[pytest.approx(score), 0.0]]
    by_tokens = SoftOverlong(max_length=100, margin=20, unit="tokens")
    assert by_tokens.rate([groups[0][1:]], make_context()) == [[pytest.approx(score)]]


@given(st.integers(1, 60), st.integers(0, 60), st.integers(0, 130))
def test_it_never_rises_and_equals_trl(
    make_context: Callable, make_rollout: Callable, most: int, part: int, n: int
) -> None:
    from trl.rewards.other_rewards import get_soft_overlong_punishment

    margin = min(part, most)
    [[here, longer]] = SoftOverlong(max_length=most, margin=margin).rate(
        [[make_rollout("x" * n), make_rollout("x" * (n + 1))]], make_context()
    )
    assert -1.0 <= longer <= here <= 0.0
    assert [here] == pytest.approx(get_soft_overlong_punishment(most, margin)([[0] * n]))


def test_counts_that_nobody_took_are_asked_for(make_context: Callable, make_rollout: Callable) -> None:
    with pytest.raises(RecipeError, match="use unit: characters"):
        SoftOverlong(unit="tokens").rate([[make_rollout("x")]], make_context())


@pytest.mark.parametrize("options", [{"unit": "words"}, {"margin": 600}, {"margin": -1}])
def test_options_out_of_range_are_refused(options: dict) -> None:
    with pytest.raises(RecipeError, match=r"reward\.soft_overlong"):
        SoftOverlong(**options)
