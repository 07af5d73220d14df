"""What a run still takes, worked by hand."""

from __future__ import annotations

from selfimprove.report.time_left import Left, left


def test_rounds_are_expected_to_take_as_long_as_the_last_ones_and_the_exam_as_its_problems() -> None:
    lines = [{"round": 0, "seconds": {"model": 900.0}}]
    assert left(lines, 3, {}, {}) is None
    lines += [{"round": 1, "seconds": {"evaluation": 10.0, "optimization": 40.0}}, {"round": 2}]
    lines += [{"round": 3, "seconds": {"evaluation": 20.0, "optimization": 80.0}}]
    settings = {"gate_problems": 500, "sealed_problems": 1000}
    assert left(lines, 3, {"evaluation": 5.0}, settings) == Left(3 * 75 - 5, 15 * (1 + 2))  # the last test is one more
    assert left(lines, 0, {}, {**settings, "null_round": True}) == Left(0.0, 45 + 60 + 15)
    assert left(lines, 0, {"evaluation": 5.0}, {"gate_problems": 0}) == Left(0.0, 30.0)
