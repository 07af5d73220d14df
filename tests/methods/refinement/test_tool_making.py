"""Tools that help stay and are used, others go; the sandbox is a stand-in that evaluates sums."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from selfimprove.episodes import Tool
from selfimprove.methods.refinement.tool_making import ToolMaking
from selfimprove.records import Message

GOOD, BAD = "def four():\n    return 4", "def four():\n    return 5"


class Stand(Tool):
    """Knows the two programs."""

    def call(self, text: str) -> str:
        if "print(four())" not in text:
            raise ValueError("no such function")
        return "4" if GOOD in text else "5"


def table(code: str, call: str) -> Callable[[Sequence[Message]], Mapping[str, float]]:
    """The model alone is right in half of its samples, and never greedily."""

    def says(messages: Sequence[Message]) -> Mapping[str, float]:
        role, *parts = messages[-1]["content"].split("\n")
        match role:
            case "make_tool":
                return {f"```python\n{code}\n```": 1.0}
            case "use_tool":
                return {call: 1.0}
            case "report":
                return {f"#{parts[-1]}": 1.0}
        return {"#5": 0.51, "#4": 0.49}

    return says


@pytest.fixture
def learned(table_model: ModuleType, tmp_path: Path) -> Callable[..., Any]:
    """`learned(code, call, state={})`: what `fit` learns, and the answers with it."""

    def run(code: str, call: str, state: Mapping[str, Any] = {}) -> Any:
        task = table_model.Quiz(own_words=True, own_tools={"python": Stand()})
        method = ToolMaking(trials=2)
        policy = table_model.policy_of(method, table_model.TableModel(table=table(code, call)), task)
        context = table_model.context_of(policy.held(method), task, tmp_path, state=state)
        made = method.fit(context)
        answers = table_model.policy_of(method, policy.engine, task, states=[made]).answer(task.problems("test", 4, 1))
        return SimpleNamespace(tools=made["tools"], answers=answers)

    return run


def test_a_tool_that_is_right_where_the_model_is_not_stays_and_answers(learned: Callable) -> None:
    made = learned(GOOD, "```python\nfour()\n```")
    assert made.tools and all((one["code"], one["gain"]) == (GOOD, 2.0) for one in made.tools)
    assert [one.text for one in made.answers] == ["#4"] * 4
    assert made.answers[0].info["spent"] == {
        "completions": 2,
        "tokens": made.answers[0].info["spent"]["tokens"],
        "calls": 1,
    }


@pytest.mark.parametrize(
    ("code", "call"),
    [(BAD, "four()"), (GOOD, "five()"), (GOOD, "four"), ("no function", "four()"), ("def four(:", "four()")],
)
def test_a_tool_that_helps_nobody_goes_and_the_model_answers_alone(learned: Callable, code: str, call: str) -> None:
    made = learned(code, call)
    assert made.tools == [] and [one.text for one in made.answers] == ["#5"] * 4
    old = [{"code": BAD, "about": "q1", "gain": 3.0}]
    assert learned(code, call, {"tools": old}).tools == [], "what helped other weights is tried anew"


def test_tools_that_are_known_are_kept_as_long_as_they_help(learned: Callable) -> None:
    old = [{"code": GOOD, "about": "q1", "gain": 1.0}]
    made = learned("no function", "print(four())", {"tools": old})
    assert made.tools == [{"code": GOOD, "about": "q1", "gain": 2.0}] and made.answers[0].text == "#4"
