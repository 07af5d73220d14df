"""The rate of a step's work: units per second since a count began."""

from __future__ import annotations

import time


class Clock:
    """The rate of each unit of a step. A step may train and sample by turns, so each unit counts its own time."""

    def __init__(self) -> None:
        self.began, self.done, self.seconds = dict[str, int](), dict[str, int](), dict[str, float]()
        self.last = time.monotonic()

    def rate(self, done: int, unit: str, now: float) -> float:
        """Units per second since the count of this unit last restarted; 0 at its first report."""
        if done <= self.done.get(unit, done):
            self.began[unit], self.seconds[unit] = done, 0.0
        else:
            self.seconds[unit] += now - self.last
        self.done[unit], self.last = done, now
        return (done - self.began[unit]) / self.seconds[unit] if self.seconds[unit] else 0.0
