"""No tracker: metrics.jsonl, `selfimprove status` and `selfimprove report` show the run.

Idea: everything is on disk already.
Survey: none.
Paper: none.
Algorithm:
  1. Nothing is sent anywhere.
Differs: nothing to compare with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from selfimprove.interfaces import Tracked, Tracker
from selfimprove.registry import register


@register("none")
@dataclass
class Nowhere(Tracker):
    def begin(self, run: Tracked) -> None:
        """Nothing."""

    def log(self, axis: str, step: int, values: Mapping[str, float]) -> None:
        """Nothing."""

    def alert(self, step: int, title: str, text: str, level: int) -> None:
        """Nothing."""

    def refer(self, name: str, path: Path, sha256: str) -> None:
        """Nothing."""

    def end(self) -> None:
        """Nothing."""
