"""What shows a run on a dashboard."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Tracked:
    """The run that a tracker shows."""

    id: str
    """The same for all sessions of a run, so that a resumed run continues its curves."""
    name: str
    folder: Path
    """Where the tracker may keep files."""
    settings: Mapping[str, Any]
    """The recipe as plain values."""
    resumed: bool
    """Whether an earlier session has begun it."""


@dataclass
class Tracker(ABC):
    """Shows a run on a dashboard. It gets copies of numbers that are on disk, so one that is down loses nothing."""

    def preflight(self) -> list[str]:
        """Check before a run that everything the options need is available; returns notes for the user.

        Raises:
            UserError: something is missing.
        """
        return []

    @abstractmethod
    def begin(self, run: Tracked) -> None:
        """Begin to show a run, or continue; any exception means that the tracker is down."""

    @abstractmethod
    def log(self, axis: str, step: int, values: Mapping[str, float]) -> None:
        """Numbers at a place of an axis: `round`, or `train/global_step`, which counts the steps of all rounds."""

    @abstractmethod
    def alert(self, step: int, title: str, text: str, level: int) -> None:
        """An alert of a round: level 1 is a warning, level 2 a veto."""

    @abstractmethod
    def refer(self, name: str, path: Path, sha256: str) -> None:
        """A file that stays where it is, such as the champion's weights."""

    @abstractmethod
    def end(self) -> None:
        """Send what is left, and end the session."""
