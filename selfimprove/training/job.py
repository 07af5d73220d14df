"""A training job: the weights to train, the schedule, and the output folder. Trainers take a job, then data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from selfimprove.interfaces import Context, Log
from selfimprove.records import Checkpoint
from selfimprove.training.options import Referenced, Schedule, Trained, reference_of, schedule_of, start_of


@dataclass(frozen=True)
class Job:
    """The arguments that all trainers share."""

    start: Checkpoint
    """The initial weights."""
    folder: Path
    """Where the new weights are saved."""
    schedule: Schedule
    log: Log
    reference: Checkpoint | None = None
    """The frozen reference weights; None means no reference, and no second model is loaded."""


def job_of(method: Trained, context: Context) -> Job:
    """The job for a method's options in a round."""
    return Job(
        start=start_of(method, context),
        folder=context.folder / "model",
        schedule=schedule_of(method, context.seed),
        log=context.log,
        reference=reference_of(method, context) if isinstance(method, Referenced) else None,
    )
