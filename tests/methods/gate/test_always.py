"""No gate: even a candidate that lost everything becomes champion."""

from __future__ import annotations

from collections.abc import Callable

from selfimprove.methods.gate.always import Always
from selfimprove.records import Alert


def test_every_candidate_is_certified(make_report: Callable) -> None:
    good, bad = make_report([1.0] * 50), make_report([0.0] * 50)
    for candidate in (good, bad):
        assert Always().decide(good, good, candidate, [], [], 3).verdict == "certify"


def test_no_alarm_vetoes(make_report: Callable) -> None:
    same, grave = make_report([1.0] * 50), Alert(alarm="length", level=2, text="x")
    assert Always().decide(same, same, same, [grave], [], 3).verdict == "certify"
