"""A tool that tells the truth makes the final answer right; one that breaks changes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import ModuleType

import pytest

from selfimprove.episodes import Tool
from selfimprove.errors import RecipeError
from selfimprove.methods.refinement.critic import Critic
from selfimprove.problems.calculator import Calculator
from selfimprove.records import Message


class Broken(Tool):
    def call(self, text: str) -> str:
        raise OSError("no calculator today")


class Tests(Tool):
    def call(self, text: str) -> str:
        return "passed" if text == "2+2=4 #4" else "2+2=4"


def table(messages: Sequence[Message]) -> Mapping[str, float]:
    role, *parts = messages[-1]["content"].split("\n")
    if role == "repair":
        return {f"{parts[2]} #{parts[2][-1]}": 1.0}
    return {"2+2=5 #5": 1.0}


@pytest.mark.parametrize(
    ("tool", "given", "text", "spent"),
    [
        ("calculator", Calculator(), "2+2=4 #4", {"completions": 2, "calls": 2}),
        ("calculator", Broken(), "2+2=5 #5", {}),
        ("tests", Tests(), "2+2=4 #4", {"completions": 2, "calls": 2}),
    ],
)
def test_what_the_tool_says_decides(table_model: ModuleType, tool: str, given: Tool, text: str, spent: dict) -> None:
    task = table_model.Quiz(own_words=True, own_tools={tool: given})
    [made] = table_model.answered(Critic(tool=tool), 1, table, task=task)
    assert made.text == text and made.info.get("spent", {}).items() >= spent.items()


def test_it_ends_when_two_attempts_agree(table_model: ModuleType) -> None:
    def stubborn(messages: Sequence[Message]) -> Mapping[str, float]:
        return {"2+2=5 #5": 1.0}

    task = table_model.Quiz(own_words=True, own_tools={"calculator": Calculator()})
    [made] = table_model.answered(Critic(rounds=5), 1, stubborn, task=task)
    assert made.info["spent"]["completions"] == 2
    with pytest.raises(RecipeError, match=r"critic\.tool takes calculator, tests, not 'judge'"):
        Critic(tool="judge")
