"""The difficulty band: whole problems in or out, by the mean of the scores that exist, bounds included."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfimprove.errors import RecipeError
from selfimprove.methods.selection.pass_rate_band import PassRateBand


def offered(make_rollout: Callable, groups: dict[str, list[float | None]]) -> list:
    return [make_rollout(f"{i}", key, reward=score) for key, scores in groups.items() for i, score in enumerate(scores)]


@pytest.mark.parametrize(
    ("scores", "kept"),
    [
        ([1.0] * 5, False),
        ([0.0] * 5, False),
        ([1.0, 0.0, 0.0, 0.0, 0.0], True),  # 0.2
        ([1.0] * 4 + [0.0], True),  # 0.8
        ([1.0, 0.0, 0.0, 0.0, 0.0, 0.0], False),
        ([1.0] * 5 + [0.0], False),
        ([1.0, 0.0, None, None, None, None], True),  # of those with a score
        ([None, None], False),
        ([0.5], True),
    ],
)
def test_by_hand(make_context: Callable, make_rollout: Callable, scores: list, kept: bool) -> None:
    rows = offered(make_rollout, {"1+2": scores})
    assert PassRateBand().select(rows, make_context()) == (rows if kept else [])


def test_rounding_does_not_move_the_bounds(make_context: Callable, make_rollout: Callable) -> None:
    rows = offered(make_rollout, {"1+2": [0.1] * 3 + [0.3] * 3 + [0.2] * 3})  # 0.2 only nearly
    assert PassRateBand().select(rows, make_context()) == rows
    assert PassRateBand(low=0.0, high=0.2).select(rows, make_context()) == rows


@given(st.dictionaries(st.sampled_from(["1+2", "3+5", "9+9"]), st.lists(st.sampled_from([0.0, 1.0, None]), max_size=6)))
def test_all_completions_of_a_problem_or_none_in_order(
    make_context: Callable, make_rollout: Callable, groups: dict
) -> None:
    rows, context = offered(make_rollout, groups), make_context()
    random.Random(0).shuffle(rows)
    kept = list(PassRateBand().select(rows, context))
    keys = {row.prompt.key for row in kept}
    assert kept == [row for row in rows if row.prompt.key in keys]
    for key, scores in groups.items():
        known = [score for score in scores if score is not None]
        assert (key in keys) == (bool(known) and 0.2 <= sum(known) / len(known) <= 0.8)
    assert context.log.metrics["pass_rate_band/problems"] == len(keys)


def test_a_sampler_of_known_skill_falls_into_the_band_as_often_as_the_binomial_says(
    make_context: Callable, make_rollout: Callable
) -> None:
    coin, n = random.Random(1), 2000
    groups = {f"{i // 100}+{i // 10 % 10}+{i % 10}": [float(coin.random() < 0.2) for _ in range(8)] for i in range(n)}
    prompt_of = {key: make_rollout("x", "1+2").prompt for key in groups}
    rows = [
        make_rollout(f"{i}", replace(prompt_of[key], key=key), reward=score)
        for key, scores in groups.items()
        for i, score in enumerate(scores)
    ]
    kept = PassRateBand().select(rows, make_context())
    share = len({row.prompt.key for row in kept}) / n
    exact = 0.4967  # 2 to 6 of 8 right at a skill of 0.2
    assert abs(share - exact) < 4 * (exact * (1 - exact) / n) ** 0.5


def test_a_band_upside_down_is_refused() -> None:
    with pytest.raises(RecipeError, match="above high"):
        PassRateBand(low=0.9, high=0.1)
