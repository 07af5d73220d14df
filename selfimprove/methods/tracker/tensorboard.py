"""TensorBoard's files in the run folder; no account, no network.

Idea: the curves of training and of rounds in a viewer that most people have.
Survey: none.
Paper: none.
Algorithm:
  1. Scalars go to RUN/tensorboard: `train/...` by training step over all rounds, everything else by round.
  2. An alert is a text at its round, so is the champion's file with its sha256.
  3. A later session writes another event file beside the first; TensorBoard shows them as one run.
Differs: TensorBoard has no alerts and no artifacts. `tensorboard --logdir RUN` shows the files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from selfimprove.errors import DataError, EngineError
from selfimprove.interfaces import Tracked, Tracker
from selfimprove.registry import register


@register("tensorboard")
@dataclass
class Tensorboard(Tracker):
    folder: str = "tensorboard"
    """Folder in the run folder."""

    def __post_init__(self) -> None:
        self._writer: Any = None

    def preflight(self) -> list[str]:
        if find_spec("tensorboard") is None:
            raise EngineError("tracker tensorboard needs the package tensorboard: pip install 'selfimprove[track]'")
        return []

    def begin(self, run: Tracked) -> None:
        from torch.utils.tensorboard.writer import SummaryWriter

        place = run.folder / Path(self.folder).name
        if place.is_symlink():
            raise DataError(f"{place} is a symlink, not a folder of the run; put a folder in its place")
        self._writer = SummaryWriter(str(place))

    def log(self, axis: str, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
        if axis == "round":
            self._writer.flush()

    def alert(self, step: int, title: str, text: str, level: int) -> None:
        self._writer.add_text("alerts", f"{'veto' if level >= 2 else 'warning'}: {title}: {text}", step)

    def refer(self, name: str, path: Path, sha256: str) -> None:
        self._writer.add_text(name, f"{path} sha256 {sha256}")

    def end(self) -> None:
        self._writer.close()
