"""Logs: one that collects the metrics of one piece of work separately, and a silent one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

from selfimprove.interfaces import Log

_charts: list[list[dict[str, float]]] = []


@contextlib.contextmanager
def charted() -> Iterator[list[dict[str, float]]]:
    """Collects the curves of the training in this context: a row of numbers for each place, with its `step`."""
    rows = list[dict[str, float]]()
    _charts.append(rows)
    try:
        yield rows
    finally:
        _charts.remove(rows)


def chart(rows: Iterable[dict[str, float]]) -> None:
    """Add rows to the curves that are collected, if any are; steps go on from those before."""
    for collected in _charts[-1:]:
        before = int(collected[-1]["step"]) if collected else 0
        collected.extend({**row, "step": before + row["step"]} for row in rows)


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
