"""No gate: even a candidate that lost everything becomes champion."""

from __future__ import annotations

from collections.abc import Callable

from selfimprove.gate.always import Always


def test_every_candidate_is_certified(make_report: Callable) -> None:
    good, bad = make_report([1.0] * 50), make_report([0.0] * 50)
    for candidate in (good, bad):
        assert Always().decide(good, good, candidate, [], [], 3).verdict == "certify"
