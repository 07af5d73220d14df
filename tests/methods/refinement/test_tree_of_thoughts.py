"""With a judge that is right the planted solution is found, within the declared expansions, and no state comes twice."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from types import ModuleType

import pytest

from selfimprove.methods.refinement.tree_of_thoughts import TreeOfThoughts
from selfimprove.records import Message

PLANTED = "c;a;b;#4"
SAYS = {f"{''.join(f'{step};' for step in steps)}#{'4' if steps == ('c', 'a', 'b') else '0'}": 1.0
        for steps in itertools.product("abc", repeat=3)}  # fmt: skip


def table(messages: Sequence[Message]) -> Mapping[str, float]:
    asked = messages[-1]["content"]
    if not asked.startswith("judge"):
        return SAYS
    return {"#yes": 1.0} if PLANTED.startswith(asked.split("\n")[-1]) else {"#no": 1.0}


@pytest.mark.parametrize("search", ["bfs", "dfs"])
def test_a_right_judge_finds_the_planted_solution(table_model: ModuleType, search: str) -> None:
    engine = table_model.TableModel(table=table)
    method = TreeOfThoughts(search=search, breadth=2, thoughts=16, depth=4, separator=";", evaluations=1)
    [made] = table_model.answered(method, 1, engine)
    assert made.text == PLANTED
    judged = [ask.prompt.prompt[-1]["content"] for ask in engine.asked if ask.prompt.prompt[-1]["role"] == "user"]
    judged = [text for text in judged if text.startswith("judge")]
    assert len(judged) == len(set(judged)), "no state is valued twice"
    expanded = [ask for ask in engine.asked if not ask.prompt.prompt[-1]["content"].startswith("judge")]
    assert len(expanded) <= 1 + 2 * 3


def test_depth_first_turns_back_from_a_state_that_the_judge_thinks_little_of(table_model: ModuleType) -> None:
    """A judge that likes everything lets the first branch win; one that is right later on turns back."""

    def late(messages: Sequence[Message]) -> Mapping[str, float]:
        asked = messages[-1]["content"]
        if not asked.startswith("judge"):
            return {"a;x;#1": 0.5, "b;y;#4": 0.5}
        shown = asked.split("\n")[-1]
        return {"#no": 1.0} if shown.startswith("a;x") else {"#yes": 1.0}

    method = TreeOfThoughts(search="dfs", breadth=4, thoughts=16, depth=3, separator=";", evaluations=1)
    assert [one.text for one in table_model.answered(method, 3, late)] == ["b;y;#4"] * 3


def test_what_has_not_ended_is_continued(table_model: ModuleType) -> None:
    method = TreeOfThoughts(breadth=1, thoughts=16, depth=2, separator=";", evaluations=1)
    [made] = table_model.answered(method, 1, table)
    assert made.text == PLANTED
