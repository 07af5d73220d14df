"""The model goes on as often as it has to, and a thought without an end is ended."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest

from selfimprove.methods.refinement.budget_forcing import BudgetForcing, _joined
from selfimprove.records import Message

SAYS = {"a #1": 0.9, "a #1\nWait b #2": 0.09, "a #1\nWait b #2\nWait c #4": 0.01}
"""At first it stops nearly always; each time that it has to go on, the next answer comes."""


@pytest.mark.parametrize(("waits", "answer"), [(0, "1"), (1, "2"), (2, "4")])
def test_it_goes_on_as_often_as_it_has_to(table_model: ModuleType, waits: int, answer: str) -> None:
    engine = table_model.TableModel(table=lambda messages: SAYS)
    [made] = table_model.answered(BudgetForcing(waits=waits), 1, engine)
    assert (made.text, made.reward) == (list(SAYS)[waits], float(answer == "4"))
    assert engine.drawn == waits + 1


def test_a_thought_without_an_end_is_ended(table_model: ModuleType) -> None:
    says = {"a b a b a b a b": 0.9, "a b a b\nFinal answer: #4": 0.1}
    method = BudgetForcing(waits=3, thought_tokens=7)
    [made] = table_model.answered(method, 1, lambda messages: says)
    assert made.text == "a b a b\nFinal answer: #4" and not made.truncated
    assert made.info["spent"]["completions"] == 2


def test_a_marked_thought_is_reopened(make_rollout: Callable) -> None:
    """The word goes into the thought; what is forced goes behind it."""
    begun: Message = {"role": "assistant", "content": "", "thinking": "hm\nWait"}
    end = make_rollout("#4", logprobs={"sum": -1.0, "count": 2})
    end.completion[-1].update({"thinking": " yes", "ids": [7, 8], "prefill": [5, 6]})
    made = _joined(end.prompt, make_rollout("#1", logprobs={"sum": -2.0, "count": 3}), begun, end)
    assert made.completion == [{"role": "assistant", "content": "#4", "thinking": "hm\nWait yes", "ids": [5, 6, 7, 8]}]
    assert made.logprobs == {"sum": -3.0, "count": 5}
