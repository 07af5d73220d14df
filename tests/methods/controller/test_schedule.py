"""Options change in the rounds that were named, all at once and for good; what the recipe lacks is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from selfimprove.errors import RecipeError
from selfimprove.methods.controller.schedule import Schedule
from selfimprove.recipe import compose
from selfimprove.recipe.cost import estimate
from selfimprove.rounds import Round

CHANGES: list[dict[str, Any]] = [
    {"round": 4, "optimization.dpo.beta": 5.0},
    {"round": 3, "optimization.dpo.learning_rate": 1e-7, "optimization.dpo.num_train_epochs": 6},
]
RECIPE = {"optimization": {"dpo": {"beta": 0.1, "learning_rate": 5e-7, "num_train_epochs": 3.0}}}


@pytest.mark.parametrize(
    ("finished", "wanted"),
    [
        (1, {}),
        (2, {"learning_rate": 1e-7, "num_train_epochs": 6}),
        (3, {"learning_rate": 1e-7, "num_train_epochs": 6, "beta": 5.0}),
        (9, {"learning_rate": 1e-7, "num_train_epochs": 6, "beta": 5.0}),
    ],
)
def test_the_changes_up_to_the_next_round(make_report: Callable, finished: int, wanted: dict) -> None:
    past = [Round(round=finished, rounds=9, champion=make_report([], []))]
    found = Schedule(changes=CHANGES).next(past, RECIPE)
    assert found == {f"optimization.dpo.{name}": value for name, value in wanted.items()}


def test_the_last_change_of_an_option_counts(make_report: Callable) -> None:
    changes = [{"round": number, "optimization.dpo.beta": float(number)} for number in (3, 2)]
    past = [Round(round=5, rounds=9, champion=make_report([], []))]
    assert Schedule(changes=changes).next(past, RECIPE) == {"optimization.dpo.beta": 3.0}


@pytest.mark.parametrize(
    "change",
    [{"round": 1}, {}, {"round": "3"}, {"round": True}],
)
def test_a_change_without_a_later_round_is_refused(change: dict) -> None:
    with pytest.raises(RecipeError, match="round of 2 or more"):
        Schedule(changes=[change])


@pytest.mark.parametrize("key", ["optimization.dpo.bta", "optimization.sft.beta", "beta", "optimization.dpo.beta.x"])
def test_an_option_that_the_recipe_lacks_is_named(make_report: Callable, key: str) -> None:
    past = [Round(round=1, rounds=9, champion=make_report([], []))]
    method = Schedule(changes=[{"round": 7, key: 1}])
    for ask in (lambda: method.next(past, RECIPE), lambda: method.largest(RECIPE)):
        with pytest.raises(RecipeError, match=key.replace(".", r"\.")):
            ask()


def test_check_counts_what_a_change_raises() -> None:
    """Six passes instead of three from round 3 on: the bound of the steps takes them for every round but the first."""
    assert Schedule(changes=CHANGES).largest(RECIPE) == {
        "optimization.dpo.num_train_epochs": 6,
        "optimization.dpo.beta": 5.0,
    }
    made = [estimate(compose.load("spin", ["bench=false", f"rounds={n}"])[0]).run.steps for n in (1, 2)]
    assert made[0] == -(-50000 // 64) * 3 and made[1] > 3 * made[0]
