"""No control: whatever happened, nothing changes and nothing stops."""

from __future__ import annotations

from collections.abc import Callable

from selfimprove.methods.controller.fixed import Fixed
from selfimprove.records import Decision
from selfimprove.rounds import Round


def test_nothing_changes(make_report: Callable) -> None:
    lost = Decision(verdict="reject", reason="r")
    history = [
        Round(round=i, rounds=9, champion=make_report([1]), candidate=make_report([0]), decision=lost) for i in range(9)
    ]
    assert Fixed().next([], {}) == {} and Fixed().next(history, {"task": {}}) == {}
