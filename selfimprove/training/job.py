"""One training run: which weights are trained, how, where the result goes. Every trainer takes it first, then data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from selfimprove.interfaces import Context, Log
from selfimprove.records import Checkpoint
from selfimprove.training.options import Referenced, Schedule, Trained, reference_of, schedule_of, start_of


@dataclass(frozen=True)
class Job:
    """What is the same for all trainers."""

    start: Checkpoint
    """The weights that it begins with."""
    folder: Path
    """Where the new weights are saved."""
    schedule: Schedule
    log: Log
    reference: Checkpoint | None = None
    """Frozen weights that the new ones are held to; None: there are none, and no second model is loaded."""


def job_of(method: Trained, context: Context) -> Job:
    """What the options of a method say of its training in a round."""
    return Job(
        start=start_of(method, context),
        folder=context.folder / "model",
        schedule=schedule_of(method, context.seed),
        log=context.log,
        reference=reference_of(method, context) if isinstance(method, Referenced) else None,
    )
