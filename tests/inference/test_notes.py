"""Notes stand before a problem, and stay only if more problems are answered right with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType

import pytest

from selfimprove.inference.notes import better, with_notes
from selfimprove.records import Message, Prompt, Rollout


def table(messages: Sequence[Message]) -> Mapping[str, float]:
    """Good notes make it right, bad ones wrong; without any it is right."""
    asked = messages[-1]["content"]
    return {"#4" if "good" in asked or "recall" not in asked else "#5": 1.0}


@pytest.mark.parametrize(
    ("notes", "old", "gains", "drawn"),
    [("good", "bad", True, 8), ("bad", "good", False, 8), ("good", "", False, 8), ("good", "good", False, 0)],
)
def test_notes_have_to_win(
    table_model: ModuleType, tmp_path: Path, notes: str, old: str, gains: bool, drawn: int
) -> None:
    task, engine = table_model.Quiz(own_words=True), table_model.TableModel(table=table)
    context = table_model.context_of(table_model.policy_of((), engine, task), task, tmp_path)
    assert better(context, notes, old, 4) == gains and engine.drawn == drawn
    assert {ask.sampling.temperature for ask in engine.asked} <= {0.0}


def test_without_notes_the_problem_is_as_it_is(table_model: ModuleType, tmp_path: Path) -> None:
    shown = list[Prompt]()

    async def look(prompt: Prompt, session: object) -> list[Rollout]:
        shown.extend([with_notes(prompt, "", session), with_notes(prompt, "1. add", session)])  # type: ignore[arg-type]
        return []

    task = table_model.Quiz()
    context = table_model.context_of(table_model.policy_of((), table_model.TableModel(), task), task, tmp_path)
    context.run(look, task.problems("train", 1, 0))
    assert shown[0].prompt[-1]["content"] == "q0"
    assert "1. add" in shown[1].prompt[-1]["content"] and "q0" in shown[1].prompt[-1]["content"]
