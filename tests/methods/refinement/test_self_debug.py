"""A program is repaired until it passes the public tests, with its explanation in view."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import ModuleType

import pytest

from selfimprove.episodes import Tool
from selfimprove.methods.refinement.self_debug import SelfDebug
from selfimprove.records import Message


class Tests(Tool):
    """Fails the first test of a program 1, the second of a program 2."""

    def call(self, text: str) -> str:
        return "passed" if text == "#4" else f"test {text[-1]} failed"


def table(messages: Sequence[Message]) -> Mapping[str, float]:
    role, *parts = messages[-1]["content"].split("\n")
    match role:
        case "explain":
            return {f"line {parts[1][-1]} is wrong": 1.0}
        case "repair":
            told = parts[2:]  # the tests, and what explains them
            return {"#2" if told[0] == "test 1 failed" else ("#4" if told[2:] == ["line 2 is wrong"] else "#3"): 1.0}
    return {"#1": 1.0}


@pytest.mark.parametrize(
    ("options", "text", "spent"),
    [
        ({}, "#4", {"completions": 5, "calls": 3}),
        ({"rounds": 1}, "#2", {"completions": 3, "calls": 1}),
        ({"explain": False}, "#3", {"completions": 4, "calls": 3}),
    ],
)
def test_the_program_is_repaired_step_by_step(table_model: ModuleType, options: dict, text: str, spent: dict) -> None:
    task = table_model.Quiz(own_words=True, own_tools={"tests": Tests()})
    [made] = table_model.answered(SelfDebug(**options), 1, table, task=task)
    assert made.text == text and made.info["spent"].items() >= spent.items()
