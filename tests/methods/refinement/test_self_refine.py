"""A critic that is right raises accuracy, one that is wrong lowers it, and an attempt has to win to take the place."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType

import pytest

from selfimprove.errors import RecipeError
from selfimprove.methods.refinement.self_refine import SelfRefine
from selfimprove.records import Message

N = 300


def says(critic: Callable[[str], str], repair: float) -> Callable[[Sequence[Message]], Mapping[str, float]]:
    """First attempts are right half of the time, repaired ones with this probability; #4 wins against all others."""

    def table(messages: Sequence[Message]) -> Mapping[str, float]:
        role, *parts = messages[-1]["content"].split("\n")
        match role:
            case "critique":
                return {critic(parts[1]): 1.0}
            case "repair":
                return {"#4": repair, "#1": 1 - repair}
            case "compare":
                return {"#yes" if (parts[1], parts[2]) == ("#1", "#4") else "#no": 1.0}
        return {"#4": 0.5, "#1": 0.5}

    return table


@pytest.mark.parametrize(
    ("critic", "repair", "keep", "right"),
    [
        (lambda shown: "#yes", 0.0, "last", 0.5),  # nothing is found: the first attempt
        (lambda shown: "#yes" if shown == "#4" else "#no", 0.6, "last", 0.5 + 0.5 * (0.6 + 0.4 * 0.6)),
        (lambda shown: "#no", 0.3, "last", 0.3),  # a critic of everything: right attempts are lost
        (lambda shown: "#no", 0.3, "compare", 1 - 0.5 * 0.7**2),  # and kept where they win
    ],
)
def test_accuracy_has_a_closed_form(
    table_model: ModuleType, critic: Callable[[str], str], repair: float, keep: str, right: float
) -> None:
    problems = [table_model.Quiz().question(f"q{i}") for i in range(N)]
    task = table_model.Quiz(own_words=True)
    method = SelfRefine(temperature=1.0, keep=keep)
    made = table_model.answered(method, problems, says(critic, repair), task=task)
    share = sum(one.reward for one in made) / N
    assert abs(share - right) < 3 * math.sqrt(0.25 / N)


def test_it_stops_where_nothing_is_wrong_and_takes_four_draws_a_round(table_model: ModuleType) -> None:
    task = table_model.Quiz(own_words=True)
    for critic, completions in ((lambda shown: "#yes", 1 + 1), (lambda shown: "#no", 1 + 2 * 4)):
        [made] = table_model.answered(SelfRefine(), 1, says(critic, 0.0), task=task)
        assert made.info["spent"]["completions"] == completions
    with pytest.raises(RecipeError, match="keep takes compare, judge, last, not 'first'"):
        SelfRefine(keep="first")
