"""The refinement is raised when its lift is gone, or no longer taken over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from selfimprove.errors import RecipeError
from selfimprove.methods.controller.climb import Climb

OPTION = "refinement.self_consistency.samples"


def recipe(samples: Any) -> dict[str, Any]:
    return {"refinement": {"self_consistency": {"samples": samples}}}


@pytest.mark.parametrize(
    ("rounds", "samples", "said"),
    [
        ([(0.005, 0.9), (0.01, 0.9)], 8, 16),  # no lift in two rounds
        ([(0.005, 0.9), (0.05, 0.9)], 8, None),  # one of them has some
        ([(0.05, 0.1), (0.05, 0.0)], 8, 16),  # a lift that is not taken over
        ([(0.05, 0.1), (0.005, 0.9)], 16, 32),  # one of each
        ([(0.005, None), (0.005, None)], 32, None),  # nothing higher
        ([(0.005, None)], 8, None),  # one round is not enough
        ([(0.005, None), (0.05, 0.5), (0.0, 0.5), (0.0, 0.5)], 12, 16),  # the last two decide; from between two values
        ([], 8, None),
    ],
)
def test_when_it_climbs(
    rounds: list[tuple[float, float | None]], samples: int, said: int | None, make_round: Callable[..., Any]
) -> None:
    history = [make_round(0)]
    for number, (low, kept) in enumerate(rounds, 1):
        numbers = {"refined/lift_low": low, **({} if kept is None else {"refined/retained": kept})}
        history.append(make_round(number, reported=numbers))
    assert Climb().next(history, recipe(samples)) == ({} if said is None else {OPTION: said})


def test_the_dearest_value_is_what_the_estimate_counts_with() -> None:
    assert Climb().largest(recipe(8)) == {OPTION: 32} and Climb().largest(recipe(32)) == {}


def test_mistakes() -> None:
    with pytest.raises(RecipeError, match="rise from cheap to dear"):
        Climb(values=[16, 8])
    with pytest.raises(RecipeError, match=r"slot\.method\.option"):
        Climb(option="samples")
    with pytest.raises(RecipeError, match="the recipe has no refinement"):
        Climb().next([], {"refinement": {"greedy": {}}})
    with pytest.raises(RecipeError, match="only numbers"):
        Climb().next([], recipe("many"))
