"""Where the weights of round 0 come from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from selfimprove.costs import NOTHING, Cost, Given
from selfimprove.interfaces.engine import Engine
from selfimprove.interfaces.requests import Log
from selfimprove.interfaces.task import Task
from selfimprove.records import (
    Checkpoint,
)


@dataclass
class Model(ABC):
    """Where the weights of round 0 come from."""

    cached: ClassVar[bool] = False
    """Whether what `build` writes is kept for later runs of the same content."""

    def preflight(self) -> list[str]:
        """Look at what the options name, before a run begins; remarks on it that a user should see.

        Raises:
            UserError: it cannot be used.
        """
        return []

    def cost(self, given: Given) -> Cost:
        """The most that `build` takes."""
        return NOTHING

    def context(self) -> int | None:
        """Tokens that a prompt and its completion can have together, where that is known before a run begins."""
        return None

    def cpu_threads(self) -> int:
        """CPU threads that a run computes on; 0 leaves it to torch."""
        return 0

    def weights(self) -> int | None:
        """Bytes of the weights on the disk, where that is known before a run begins."""
        return None

    @abstractmethod
    def build(self, task: Task, engine: Engine, folder: Path, seed: int, log: Log) -> Checkpoint:
        """Write or find a `save_pretrained` folder and return it."""
