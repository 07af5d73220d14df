"""One turn is a plain vote, a greedy debate changes nothing, and each topology shows what it says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import ModuleType

import pytest

from selfimprove.errors import RecipeError
from selfimprove.inference.debate import seen
from selfimprove.methods.refinement.debate import Debate
from selfimprove.methods.refinement.self_consistency import SelfConsistency
from selfimprove.records import Message

SAYS = {"one #1": 0.4, "two #2": 0.3, "four #4": 0.3}


def table(messages: Sequence[Message]) -> Mapping[str, float]:
    role, *parts = messages[-1]["content"].split("\n")
    if role == "refine":  # whoever sees a 4 is persuaded
        return {"four #4" if "four #4" in parts else "one #1": 1.0}
    if role == "persona":
        return {f"{parts[-1]} #{parts[-1]}": 1.0}
    return SAYS


def test_one_turn_is_the_vote_of_its_agents(table_model: ModuleType) -> None:
    votes = table_model.answered(SelfConsistency(samples=5), 40, SAYS_OF)
    debates = table_model.answered(Debate(agents=5, turns=1), 40, SAYS_OF)
    assert [one.text for one in debates] == [one.text for one in votes]


def SAYS_OF(messages: Sequence[Message]) -> Mapping[str, float]:
    return SAYS


def test_greedy_agents_agree_at_once(table_model: ModuleType) -> None:
    [made] = table_model.answered(Debate(temperature=0.0), 1, table, task=table_model.Quiz(own_words=True))
    assert made.text == "one #1" and made.info["spent"]["completions"] == 3


@pytest.mark.parametrize(
    ("topology", "links"),
    [
        ("all", [[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]]),
        ("ring", [[1, 3], [0, 2], [1, 3], [0, 2]]),
        ("star", [[1, 2, 3], [0], [0], [0]]),
    ],
)
def test_whom_an_agent_sees(topology: str, links: list[list[int]]) -> None:
    assert seen(topology, 4) == links


@pytest.mark.parametrize(
    ("topology", "turns", "text"), [("all", 2, "four #4"), ("star", 2, "one #1"), ("star", 3, "four #4")]
)
def test_personas_answer_first_and_the_hub_of_a_star_passes_on(
    table_model: ModuleType, topology: str, turns: int, text: str
) -> None:
    """The third of three sees nobody with a 4, all others see it; in a star only the first, until it passes it on."""

    def named(messages: Sequence[Message]) -> Mapping[str, float]:
        role, *parts = messages[-1]["content"].split("\n")
        if role == "persona" and len(parts) == 2:  # the problem for somebody
            return {{"A": "one #1", "B": "two #2", "C": "four #4"}[parts[1]]: 1.0}
        return {"four #4" if "four #4" in parts else "one #1": 1.0}

    method = Debate(topology=topology, turns=turns, personas=["A", "B", "C"])
    [made] = table_model.answered(method, 1, named, task=table_model.Quiz(own_words=True))
    assert made.text == text


def test_what_cannot_be() -> None:
    with pytest.raises(RecipeError, match="topology takes all, ring, star, not 'tree'"):
        Debate(topology="tree")
    with pytest.raises(RecipeError, match="personas has 1 for 3 agents"):
        Debate(personas=["A"])
