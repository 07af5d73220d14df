"""A log that keeps the numbers of a piece of work, so that they do not mix with those of the work around it."""

from __future__ import annotations

from selfimprove.interfaces import Log


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
