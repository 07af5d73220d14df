"""Only the promising trees grow on, and their answers are put to the vote."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import ModuleType

import pytest

from selfimprove.errors import RecipeError
from selfimprove.methods.refinement.forest import Forest
from selfimprove.records import Message

SAYS = {"good;#4": 0.3, "bad;#1": 0.7}


def table(messages: Sequence[Message]) -> Mapping[str, float]:
    asked = messages[-1]["content"]
    if not asked.startswith("judge"):
        return SAYS
    return {"#yes": 1.0} if "good" in asked else {"#no": 1.0}


def test_what_it_spends_and_that_the_good_trees_win(table_model: ModuleType) -> None:
    """4 trees plant 2 completions each. A tree whose first completions are both wrong is worth 0, so it rests:
    P(no tree has a right one) = 0.7 ** 8, and then only is the answer wrong."""
    problems = [table_model.Quiz().question(f"q{i}") for i in range(60)]
    made = table_model.answered(Forest(separator=";", iterations=1, temperature=1.0), problems, table)
    assert {one.info["spent"]["completions"] for one in made} == {4 * 2 * 2}
    right = sum(one.text == "good;#4" for one in made) / len(made)
    assert abs(right - (1 - 0.7**8)) < 0.07


def test_trees_that_grow_spend_more(table_model: ModuleType) -> None:
    [made] = table_model.answered(Forest(separator=";", iterations=2, temperature=1.0), 1, {"q0": {"a;b;#4": 1.0}})
    assert made.text == "a;b;#4"
    with pytest.raises(RecipeError, match="lower active"):
        Forest(trees=2, active=3)
