"""Who watches a run: a screen, a log, a test. The runner tells it what happens; it changes nothing."""

from __future__ import annotations

from typing import Any, Protocol

from selfimprove.interfaces import Log


class Watcher(Log, Protocol):
    """Shows a run as it progresses."""

    def goal(self, rounds: int) -> None:
        """The run begins or continues, and goes to this many rounds."""

    def step(self, number: int, stage: str) -> None:
        """A step begins."""

    def round(self, line: dict[str, Any]) -> None:
        """A round is finished.

        Args:
            line: its line of metrics.jsonl, with `seconds` of each step and `trial`, the round that made the model on
                trial when the round began.
        """

    def confirmation(self, line: dict[str, Any]) -> None:
        """A test of the model on trial after the last round is finished.

        Args:
            line: as `Stored.confirmation_line` gives it, with `name`: `last`, or `again` where rounds follow.
        """
