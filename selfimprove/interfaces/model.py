"""The source of the weights of round 0."""

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
    """The source of the weights of round 0."""

    cached: ClassVar[bool] = False
    """Whether the result of `build` is cached for later runs with the same content."""

    def preflight(self) -> list[str]:
        """Check before a run what the options name; returns notes for the user.

        Raises:
            UserError: it cannot be used.
        """
        return []

    def suits(self, task: Task) -> None:
        """Check before a run that the weights can be made for a task.

        Raises:
            UserError: they cannot.
        """

    def cost(self, given: Given) -> Cost:
        """The largest cost of `build`."""
        return NOTHING

    def context(self) -> int | None:
        """Context length in tokens, if known before a run begins."""
        return None

    def cpu_threads(self) -> int:
        """CPU threads of a run; 0 uses torch's default."""
        return 0

    def weights(self) -> int | None:
        """Bytes of the weights on disk, if known before a run begins."""
        return None

    @abstractmethod
    def build(self, task: Task, engine: Engine, folder: Path, seed: int, log: Log) -> Checkpoint:
        """Write or find a `save_pretrained` folder and return it."""
