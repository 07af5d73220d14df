"""Temporary copies of the weights: trained on a few rows, used for answers, then removed.

A copy is trained by the same code as a round's candidate: by SFT, or by policy gradients if its schedule is one of
these. Its folder is inside the step that asks for it and is named by the hash of its inputs, so a repeated step finds
its answers in the journal and trains the copy only if an answer is missing.
"""

from __future__ import annotations

import math
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

from selfimprove.costs import Cost, count, counted
from selfimprove.errors import RecipeError
from selfimprove.interfaces import Log
from selfimprove.logs import MetricLog
from selfimprove.records import Checkpoint, Rollout, digest
from selfimprove.training.generators import unmoved
from selfimprove.training.job import Job
from selfimprove.training.lora import Lora
from selfimprove.training.native.rows import gradient_on_rows
from selfimprove.training.options import PolicyGradient, Schedule
from selfimprove.training.trl.sft import sft

ALIVE = 4
"""Copies that may exist at the same time."""
LARGE = 4 << 30
"""Larger weights (in bytes; a billion numbers in float32) get a low-rank adapter, if the schedule has none."""
RANK = 16
"""The rank of that adapter."""


class Copies:
    """The copies of one step.

    Args:
        folder: the place of the copies while they are used; its content is removed.
        log: for progress and notes, without the metrics of their training.
        waits: train a copy when `needed` is called, not when it is requested.
        saw: called with the rows that each copy is trained on.
    """

    def __init__(
        self, folder: Path, log: Log, waits: bool = False, saw: Callable[[Sequence[Rollout]], None] = lambda rows: None
    ) -> None:
        self.folder, self.log, self.waits, self.saw = folder, log, waits, saw
        self.most = ALIVE
        self._alive: dict[str, Callable[[], None]] = {}
        self._users = Counter[str]()

    @contextmanager
    def trained(self, start: Checkpoint, rows: Sequence[Rollout], schedule: Schedule) -> Iterator[Checkpoint]:
        """A copy of these weights, trained on the rows; removed afterwards.

        Equal weights, rows and schedules give equal copies. Reference answers and `info` of the rows are removed first.

        Args:
            schedule: imitates the rows; a `PolicyGradient` takes their rewards as advantages.

        Raises:
            RecipeError: there are no rows, too many copies, several processes, or weights too large for the schedule.
            DataError: the training loss is not a number.
        """
        blind = [replace(row, prompt=row.prompt.blind()) for row in rows]
        plan = _plan(start, blind, schedule)
        gains = [[row.reward] if isinstance(plan, PolicyGradient) else [] for row in blind]
        told = [[row.id, row.ended, *gain] for row, gain in zip(blind, gains, strict=True)]
        name = digest([start.path, told, asdict(plan)])[:16]
        path = self.folder / name
        if str(path) not in self._alive:  # else somebody has the same copy already
            if len(self._alive) >= self.most:
                raise RecipeError(
                    f"{self.most} adapted copies of the weights exist already; close one before making the next"
                )
            self.saw(blind)
            count(Cost(copies=1, steps=plan.max_steps))
            self._alive[str(path)] = lambda: self._train(start, blind, path, plan)
        self._users[str(path)] += 1
        try:
            if not self.waits:
                self.needed(str(path))
            yield replace(start, path=str(path))
        finally:
            self._users[str(path)] -= 1
            if not self._users[str(path)]:
                del self._alive[str(path)]
                shutil.rmtree(path if self._alive else self.folder, ignore_errors=True)

    def needed(self, path: str) -> None:
        """Train the copy for this folder, if there is one and it is not trained yet."""
        if path in self._alive and not Path(path).exists():
            self._alive[path]()

    def _train(self, start: Checkpoint, rows: Sequence[Rollout], path: Path, plan: Schedule) -> None:
        job = Job(start, self.folder / f"{path.name}.begun", plan, MetricLog(self.log))
        with counted(), unmoved():
            gradient = isinstance(plan, PolicyGradient)
            made = gradient_on_rows(job, plan, rows) if gradient else sft(job, rows, kept=False)
        Path(made.path).rename(path)


def _plan(start: Checkpoint, rows: Sequence[Rollout], schedule: Schedule) -> Schedule:
    """The schedule with an explicit number of steps, and with an adapter if the weights are large."""
    if not rows:
        raise RecipeError("there are no rows to adapt a copy of the weights to")
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise RecipeError("a copy of the weights is trained in one process; set launcher=inline or process")
    steps = schedule.max_steps
    if steps <= 0:
        batches = math.ceil(len(rows) / schedule.per_device_train_batch_size)
        steps = math.ceil(schedule.num_train_epochs * math.ceil(batches / schedule.gradient_accumulation_steps))
    large = not schedule.lora.r and _bytes(start) > LARGE
    if isinstance(schedule, PolicyGradient) and (large or schedule.lora.r):
        raise RecipeError(
            f"a copy of weights above {LARGE >> 30} GiB trains an adapter, and policy gradients train all weights: use "
            "loss: sft"
        )
    lora = Lora(r=RANK, alpha=2 * RANK, target_modules=schedule.lora.target_modules) if large else schedule.lora
    return replace(schedule, max_steps=max(1, steps), lora=lora)


def _bytes(checkpoint: Checkpoint) -> int:
    """Bytes of the weights on disk."""
    return sum(file.stat().st_size for file in Path(checkpoint.path).glob("*.safetensors"))
