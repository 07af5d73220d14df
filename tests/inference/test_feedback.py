"""What a calculator finds wrong in a text, and which attempt takes the place of another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from selfimprove.errors import RecipeError
from selfimprove.inference.feedback import SIGNALS, Check, better
from selfimprove.interfaces import Session
from selfimprove.problems.calculator import Calculator
from selfimprove.records import Message, Prompt, Rollout

CLAIMS = [
    ("2+2=5 so #5", "2+2=4"),
    ("f3+5=8;e8-2=6#6", ""),
    ("f3+5:45678=9;e9-2=7#7", "3+5=8"),
    ("3 + 5 apples = 9 apples, 2 * 4 = 8", "3 + 5=8"),
    ("1,000 + 24 = 1,024 and 7/2 = 3.5, 1/3 = 0.33", ""),
    ("1/3 = 0.34; 3*4 = $13", "1/3=1/3\n3*4=12"),
    ("x + 2 = 5, 1.5 + 2 = 9, 3 = 3, 5 / 0 = 7", ""),
    ("2+2=5; then again 2+2=5", "2+2=4"),
]


@pytest.mark.parametrize(("text", "faults"), CLAIMS)
def test_the_sums_that_a_text_states_are_worked_out(table_model: ModuleType, text: str, faults: str) -> None:
    assert _found(table_model, Check("calculator"), text) == faults


def test_no_more_sums_are_looked_at_than_allowed(table_model: ModuleType) -> None:
    assert _found(table_model, Check("calculator", 1), "2+2=4; 2+2=5") == ""
    with pytest.raises(RecipeError, match=r"refinement\.critic\.tool takes judge, calculator, tests, not 'google'"):
        Check("google").known("critic.tool", SIGNALS)


PREFERRED = {("#1", "#4"): "#yes", ("#4", "#1"): "#no"}


@pytest.mark.parametrize(
    ("keep", "old", "new", "wins"),
    [
        ("compare", "#1", "#4", True),
        ("compare", "#4", "#1", False),
        ("compare", "#2", "#3", False),  # the judge prefers whatever comes second
        ("judge", "#1", "#4", True),
        ("judge", "#4", "#4", False),
        ("last", "#4", "#1", True),
    ],
)
def test_a_new_attempt_has_to_win_in_both_orders(
    table_model: ModuleType, keep: str, old: str, new: str, wins: bool
) -> None:
    def table(messages: Sequence[Message]) -> Mapping[str, float]:
        role, _, *shown = messages[-1]["content"].split("\n")
        if role == "compare":
            return {PREFERRED.get((shown[0], shown[1]), "#yes"): 1.0}
        return {"#yes" if shown == ["#4"] else "#no": 1.0}

    async def asked(problem: Prompt, session: Session) -> bool:
        made = [_said(problem, text) for text in (old, new)]
        return await better(problem, made[0], made[1], session, keep)

    assert _run(table_model, asked, table) == wins


def _found(table_model: ModuleType, check: Check, text: str) -> str:
    async def asked(problem: Prompt, session: Session) -> str:
        return await check.faults(problem, _said(problem, text), session)

    return _run(table_model, asked, {})


def _said(problem: Prompt, text: str) -> Rollout:
    return Rollout(prompt=problem, completion=[{"role": "assistant", "content": text}])


def _run(table_model: ModuleType, routine: Any, table: Any) -> Any:
    task = table_model.Quiz(own_words=True, own_tools={"calculator": Calculator()})
    policy = table_model.policy_of((), table_model.TableModel(table=table), task)
    [found] = table_model.context_of(policy, task, Path()).run(routine, task.problems("train", 1, 0))
    return found
