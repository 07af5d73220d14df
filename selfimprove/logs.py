"""Logs: one that collects the metrics of one piece of work separately, and a silent one."""

from __future__ import annotations

from typing import Any

from selfimprove.interfaces import Log


class Silent:
    """Shows nothing and stores nothing; usable as a log and as the watcher of a run."""

    def progress(self, done: int, total: int, unit: str = "") -> None:
        """Report that so many units of the work are done."""

    def metric(self, name: str, value: float) -> None:
        """A number."""

    def note(self, text: str) -> None:
        """Show the user a remark."""

    def step(self, number: int, stage: str) -> None:
        """A step of the run begins."""

    def goal(self, rounds: int) -> None:
        """The run goes to this many rounds."""

    def round(self, line: dict[str, Any]) -> None:
        """A round of the run is finished."""

    def confirmation(self, line: dict[str, Any]) -> None:
        """A test after the last round is finished."""


class MetricLog:
    """Collects metrics, and passes on progress and notes."""

    def __init__(self, log: Log) -> None:
        self.log, self.metrics = log, dict[str, float]()

    def progress(self, done: int, total: int, unit: str = "") -> None:
        """Report that so many units of the work are done."""
        self.log.progress(done, total, unit)

    def metric(self, name: str, value: float) -> None:
        """Record a number; a later one of the same name replaces it."""
        self.metrics[name] = value

    def note(self, text: str) -> None:
        """Show the user a remark."""
        self.log.note(text)
