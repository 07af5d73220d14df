"""Weights & Biases.

Idea: a hosted dashboard for teams; without an account everything stays in files.
Survey: none.
Paper: none.
Algorithm:
  1. `wandb.init` with the run's id begins a run, or continues it (`resume: allow`). Without a key in WANDB_API_KEY it
     is offline: the files in RUN/wandb can be sent later with `wandb sync`.
  2. `train/...` has the axis `train/global_step`, everything else `round`.
  3. Alarms are alerts of the run; the champion is an artifact by reference, with its sha256, so nothing is uploaded.
Differs: the client's own numbers of the machine are off, since the run folder has the times of all steps.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from selfimprove.errors import EngineError, RecipeError
from selfimprove.interfaces import Tracked, Tracker
from selfimprove.registry import register

MODES = ("auto", "online", "offline")


@register("wandb")
@dataclass
class Wandb(Tracker):
    project: str = "selfimprove"
    """The project that holds the run."""
    entity: str | None = None
    """The user or team; null takes the account's own."""
    mode: str = "auto"
    """`online`, `offline`, or `auto`: online if WANDB_API_KEY is set."""

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise RecipeError(f"tracker.wandb.mode is {self.mode!r}; it takes {', '.join(MODES)}")
        self._run: Any = None

    def preflight(self) -> list[str]:
        if find_spec("wandb") is None:
            raise EngineError("tracker wandb needs the package wandb: pip install 'selfimprove[wandb]'")
        if self.mode == "online" and not os.environ.get("WANDB_API_KEY"):
            raise EngineError("tracker.wandb.mode=online needs a key in the environment variable WANDB_API_KEY")
        return []

    def begin(self, run: Tracked) -> None:
        wandb = import_module("wandb")
        auto = "online" if os.environ.get("WANDB_API_KEY") else "offline"
        self._run = wandb.init(
            project=self.project,
            entity=self.entity,
            id=run.id,
            name=run.name,
            config=dict(run.settings),
            resume="allow",
            dir=str(run.folder),
            mode=auto if self.mode == "auto" else self.mode,
            settings=wandb.Settings(console="off", silent=True, x_disable_stats=True, init_timeout=30),
        )
        self._run.define_metric("*", step_metric="round")
        self._run.define_metric("train/*", step_metric="train/global_step")

    def log(self, axis: str, step: int, values: Mapping[str, float]) -> None:
        self._run.log({**values, axis: step})

    def alert(self, step: int, title: str, text: str, level: int) -> None:
        levels = import_module("wandb").AlertLevel
        self._run.alert(title, text, level=levels.ERROR if level >= 2 else levels.WARN)

    def refer(self, name: str, path: Path, sha256: str) -> None:
        artifact = import_module("wandb").Artifact(f"{name}-{self._run.id}", type="model", metadata={"sha256": sha256})
        artifact.add_reference(path.resolve().as_uri(), checksum=False)
        self._run.log_artifact(artifact)

    def end(self) -> None:
        self._run.finish()
