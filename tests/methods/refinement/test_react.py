"""Steps see what the tools said, and the answer sees the steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

import pytest

from selfimprove.errors import RecipeError
from selfimprove.methods.refinement.react import React
from selfimprove.problems.calculator import Calculator
from selfimprove.records import Message


def adds(first: str) -> Any:
    """It adds 1 and 2, then 1 to what comes out, and answers with the last observation; alone it says #5."""

    def table(messages: Sequence[Message]) -> Mapping[str, float]:
        role, *parts = messages[-1]["content"].split("\n")
        match role:
            case "act":
                seen = [line for line in parts if line.startswith("Observation: ")]
                asked = {0: first, 1: f"Action: calculator[{seen[-1][13:]}+1]" if seen else ""}
                return {f"so far {len(seen)}\n{asked.get(len(seen), 'Finish')}": 1.0}
            case "report_steps":
                return {f"#{parts[-1].removeprefix('Observation: ')}": 1.0}
        return {"#5": 1.0}

    return table


@pytest.mark.parametrize(
    ("first", "steps", "text", "completions", "calls"),
    [
        ("Action: calculator[1+2]", 6, "#4", 4, 2),  # two calls, the step that finishes, the answer
        ("Action: calculator[1+2]", 1, "#3", 2, 1),
        ("Finish", 6, "#5", 2, 0),
        ("Action: search[x]", 1, "#error: there is no tool search", 2, 0),
    ],
)
def test_a_sum_of_three_is_found_in_two_steps(
    table_model: ModuleType, first: str, steps: int, text: str, completions: int, calls: int
) -> None:
    task = table_model.Quiz(own_words=True, own_tools={"calculator": Calculator()})
    engine = table_model.TableModel(table=adds(first), length=64)
    [made] = table_model.answered(React(steps=steps), 1, engine, task=task)
    spent = made.info["spent"]
    assert made.text == text and spent["completions"] == completions and spent.get("calls", 0) == calls


def test_it_needs_a_tool() -> None:
    with pytest.raises(RecipeError, match="tools is empty: name a tool of the task, such as calculator"):
        React(tools=[])
    assert React(tools=["python"]).needs().tools == ("python",)
