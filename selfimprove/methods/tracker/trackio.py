"""Trackio: a local dashboard without an account, by Hugging Face.

Idea: `trackio show` opens the curves of all runs of a project on this machine.
Survey: none.
Paper: none.
Algorithm:
  1. `trackio.init` with the run's name and id begins a run, or continues it.
  2. Each round: the curve of its training by training step, and its numbers by round.
  3. Alarms are Trackio's alerts; the champion's file and sha256 go along as an alert of level INFO, by reference.
Differs: files stay where they are. Trackio has one step per row, so rounds have a row of their own with `round` in it.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from selfimprove.errors import EngineError
from selfimprove.interfaces import Tracked, Tracker
from selfimprove.registry import register


@register("trackio")
@dataclass
class Trackio(Tracker):
    project: str = "selfimprove"
    """The project that holds the run."""
    space_id: str | None = None
    """A Space on the Hub that shows it; null keeps everything on this machine."""

    def __post_init__(self) -> None:
        self._run: Any = None
        self._trackio: Any = None

    def preflight(self) -> list[str]:
        if find_spec("trackio") is None:
            raise EngineError("tracker trackio needs the package trackio: pip install 'selfimprove[trackio]'")
        return []

    def begin(self, run: Tracked) -> None:
        self._trackio = trackio = import_module("trackio")
        where: dict[str, Any] = {"space_id": self.space_id} if self.space_id else {}
        with redirect_stdout(io.StringIO()):  # it prints where to look, in the middle of a run
            self._run = trackio.init(
                project=self.project,
                name=f"{run.name}-{run.id}",
                config=dict(run.settings),
                resume="allow",
                embed=False,
                auto_log_gpu=False,
                auto_log_cpu=False,
                **where,
            )

    def log(self, axis: str, step: int, values: Mapping[str, float]) -> None:
        self._run.log({**values, axis: step}, step=step)

    def alert(self, step: int, title: str, text: str, level: int) -> None:
        levels = self._trackio.AlertLevel
        with redirect_stdout(io.StringIO()):
            self._trackio.alert(title, text, level=levels.ERROR if level >= 2 else levels.WARN)

    def refer(self, name: str, path: Path, sha256: str) -> None:
        with redirect_stdout(io.StringIO()):
            self._trackio.alert(name, f"{path} sha256 {sha256}", level=self._trackio.AlertLevel.INFO)

    def end(self) -> None:
        with redirect_stdout(io.StringIO()):
            self._trackio.finish()
