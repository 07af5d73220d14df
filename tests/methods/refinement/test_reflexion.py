"""Without memory trials are independent; with a lesson that helps, the second trial is right."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import ModuleType

import pytest

from selfimprove.methods.refinement.reflexion import Reflexion
from selfimprove.problems.calculator import Calculator
from selfimprove.records import Message

N = 300


def table(messages: Sequence[Message]) -> Mapping[str, float]:
    role, *parts = messages[-1]["content"].split("\n")
    match role:
        case "judge":
            return {"#yes" if parts[1] == "1+3=4 #4" else "#no": 1.0}
        case "reflect":
            return {f"count on from {parts[1][0]}, {parts[2]}": 1.0}
        case "retry":
            return {"1+3=4 #4": 0.95, "#1": 0.05} if "count on" in parts[-1] else {"#1": 1.0}
    return {"1+3=4 #4": 0.3, "1+3=5 #5": 0.7}


@pytest.mark.parametrize(
    ("options", "right"),
    [
        ({"memory": 0}, 1 - 0.7**3),
        ({"memory": 0, "trials": 1}, 0.3),
        ({"memory": 1, "trials": 2}, 0.3 + 0.7 * 0.95),
        ({"memory": 3, "trials": 2, "signal": "calculator"}, 0.3 + 0.7 * 0.95),
    ],
)
def test_accuracy_has_a_closed_form(table_model: ModuleType, options: dict, right: float) -> None:
    problems = [table_model.Quiz().question(f"q{i}") for i in range(N)]
    task = table_model.Quiz(own_words=True, own_tools={"calculator": Calculator()})
    made = table_model.answered(Reflexion(temperature=1.0, **options), problems, table, task=task)
    share = sum(one.reward for one in made) / N
    assert abs(share - right) < 3 * math.sqrt(right * (1 - right) / N)


def test_the_last_lessons_are_shown(table_model: ModuleType) -> None:
    def wrong(messages: Sequence[Message]) -> Mapping[str, float]:
        role = messages[-1]["content"].partition("\n")[0]
        return {{"judge": "#no", "reflect": f"lesson {len(seen)}"}.get(role, "#1"): 1.0}

    seen: list[str] = []
    engine = table_model.TableModel(table=wrong)
    draw = engine.draw

    def noted(asks, log):  # what the model is shown
        seen.extend(ask.prompt.prompt[-1]["content"] for ask in asks)
        return draw(asks, log)

    engine.draw = noted
    table_model.answered(Reflexion(trials=4, memory=2), 1, engine, task=table_model.Quiz(own_words=True))
    retries = [text.split("\n")[2:] for text in seen if text.startswith("retry")]
    lessons = [text for text in seen if text.startswith("reflect")]
    assert [len(one) for one in retries] == [1, 3, 3] and len(lessons) == 3  # a blank line between two
    assert retries[2][0] == retries[1][2]
