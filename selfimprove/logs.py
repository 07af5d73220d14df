"""Logs: one that keeps the numbers of a piece of work apart from those around it, and one that is silent."""

from __future__ import annotations

from typing import Any

from selfimprove.interfaces import Log


class Silent:
    """Shows nothing and keeps nothing: a log for work that nobody watches, and a watcher for such a run."""

    def progress(self, done: int, total: int, unit: str = "") -> None:
        """How far the work is."""

    def metric(self, name: str, value: float) -> None:
        """A number."""

    def note(self, text: str) -> None:
        """A remark for the user."""

    def step(self, number: int, stage: str) -> None:
        """A step of the run begins."""

    def round(self, line: dict[str, Any]) -> None:
        """A round of the run is finished."""


class MetricLog:
    """Keeps metrics and passes progress and notes on."""

    def __init__(self, log: Log) -> None:
        self.log, self.metrics = log, dict[str, float]()

    def progress(self, done: int, total: int, unit: str = "") -> None:
        """How far the work is."""
        self.log.progress(done, total, unit)

    def metric(self, name: str, value: float) -> None:
        """A number; the last one of a name counts."""
        self.metrics[name] = value

    def note(self, text: str) -> None:
        """A remark for the user."""
        self.log.note(text)
