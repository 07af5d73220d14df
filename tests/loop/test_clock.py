"""The rate of a step's work, by a clock that the test sets."""

from __future__ import annotations

from selfimprove.loop.clock import Clock


def test_each_unit_counts_its_own_time_and_a_new_count_restarts() -> None:
    clock = Clock()
    clock.last = 0.0
    assert clock.rate(2, "steps", 1.0) == 0.0  # the first report: how long its units took is not known
    assert clock.rate(6, "steps", 3.0) == 2.0  # 4 steps in 2 seconds
    assert clock.rate(10, "samples", 7.0) == 0.0
    assert clock.rate(8, "steps", 8.0) == 2.0  # 6 in 3 seconds: the 4 seconds of samples do not count
    assert clock.rate(40, "samples", 10.0) == 15.0
    assert clock.rate(1, "steps", 11.0) == 0.0  # another training begins
    assert clock.rate(4, "steps", 12.0) == 3.0
