"""Rows whose expected grade is high enough stay; a row without a grade never does."""

from __future__ import annotations

from collections.abc import Callable

from selfimprove.methods.engine.fake import Fake
from selfimprove.methods.selection.alpagasus import ASK, Alpagasus
from selfimprove.text import filled, quoted


def test_by_hand(make_context: Callable, make_rollout: Callable) -> None:
    """Expectations of 5, 4.5, 4.4 and none."""
    tables = ({"5": 1.0}, {"5": 0.5, "4": 0.5}, {"5": 0.4, "4": 0.6}, {"fine": 1.0})
    rows = [make_rollout(f"#{place}") for place in range(4)]
    asked = [filled(ASK, row.text, problem=quoted(row.prompt.prompt)) for row in rows]
    engine = Fake(answers=dict(zip(asked, tables, strict=True)))
    context, method = make_context(engine), Alpagasus()
    assert method.select(rows, context.held(method)) == rows[:2]
    assert context.log.metrics["alpagasus/unread"] == 0.25
    verdict = Alpagasus(form="verdict")
    assert verdict.select(rows, make_context(Fake(default="#y")).held(verdict)) == rows
    assert verdict.select(rows, make_context(Fake(default="#n")).held(verdict)) == []
