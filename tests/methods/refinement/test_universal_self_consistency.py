"""The model chooses: a chooser that counts gives the vote, one that likes a place gives the vote as well."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import pytest

from selfimprove.methods.refinement.self_consistency import SelfConsistency
from selfimprove.methods.refinement.universal_self_consistency import UniversalSelfConsistency

SAYS = {"so it is #4": 0.45, "#5": 0.35, "it must be #6": 0.2}


def shown(asked: str) -> list[str]:
    """The answers in the order of the list."""
    return re.findall(r"Answer \d+:\n(.+)", asked)


def mode(asked: str) -> str:
    said = shown(asked)
    return f"The best is number {said.index(Counter(said).most_common(1)[0][0]) + 1}"


CHOOSERS = {
    "mode": mode,
    "first": lambda asked: "1",
    "unreadable": lambda asked: "the blue one",
    "beyond": lambda asked: "77",
    "rare": lambda asked: str(min(range(8), key=lambda i: (shown(asked).count(shown(asked)[i]), shown(asked)[i])) + 1),
}


@pytest.mark.parametrize("chooser", CHOOSERS)
def test_what_the_chooser_makes_of_it(table_model: ModuleType, chooser: str) -> None:
    def table(messages: Sequence[Any]) -> dict[str, float]:
        asked = messages[-1]["content"]
        return {CHOOSERS[chooser](asked): 1.0} if "most consistent" in asked else SAYS

    engine = table_model.TableModel(table=table)
    made = table_model.answered(UniversalSelfConsistency(), 25, engine)
    votes = table_model.answered(SelfConsistency(samples=8), 25, lambda messages: SAYS)
    same = [one.text == vote.text for one, vote in zip(made, votes, strict=True)]
    agreed = [one.info["agreed"] for one in made]
    orders = {tuple(shown(ask.prompt.prompt[-1]["content"])) for ask in engine.asked if ask.sampling.temperature == 0}
    assert len(orders) > 30, "two orders of each problem"
    match chooser:
        case "mode":  # a tie may fall otherwise
            assert sum(same) >= 20 and sum(agreed) >= 20
        case "first":  # a place is no opinion: where both orders begin with the same answer it looks like one
            assert all(same[i] for i in range(25) if not agreed[i]) and not all(agreed)
        case "rare":
            assert all(agreed) and sum(same) < 5
        case _:
            assert all(same) and not any(agreed)
