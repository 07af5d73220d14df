"""A training that goes on inside a step where it stopped, bit for bit: its state to disk and back.

transformers writes checkpoints too, but not to the bit for what is trained here: rows grouped by length are in another
order from the second pass on, the mean loss since the last log is lost, and optimizer and generators are pickles. Here
tensors are safetensors and the rest is JSON, so that a folder from a stranger can do no more than be refused.

What is kept is taken where an optimizer step begins: trainable weights and buffers, optimizer, scheduler, all random
generators as they are and as they were when the pass over the data began, the numbers that are still to be logged, and
the best weights of a `Peak`. Where it is kept is the business of the run: `resumable`.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

from selfimprove.errors import DataError, StorageError
from selfimprove.interfaces import Log
from selfimprove.training import generators
from selfimprove.training.best_weights import Peak
from selfimprove.training.trl import tensor_files

EVERY = 600.0
"""Seconds of training between two checkpoints, which is what a SIGKILL may cost. A training of seconds writes none."""
SHARE = 0.02
"""Of the time at most this share goes into checkpoints: where writing takes long they come less often."""
STATE, TRAINER = "training.json", "trainer_state.json"
"""What we note, and what transformers does, under the name that it looks for."""

NOTED = {"optimizer", "scheduler", "total", "logged", "metrics", "tokens", "now", "pass", "over", "unlooked"}
"""What our notes have of every training, beside what it is recognised by."""


class Shelf(Protocol):
    """Where a step keeps the checkpoints of its trainings."""

    def newest(self, training: int) -> Path | None:
        """The newest whole checkpoint of the n-th training of this very step."""
        ...

    def keep(self, training: int, step: int, write: Callable[[Path], None]) -> None:
        """Have a checkpoint written; it takes the place of the former one when it is whole."""
        ...

    def drop(self, checkpoint: Path, reason: str) -> None:
        """Throw a checkpoint away that cannot be used."""
        ...


class Unusable(Exception):
    """Why a checkpoint is not one of this training."""


_shelves: list[tuple[Shelf, Iterator[int]]] = []
"""Of the step in progress, with the number of its next training."""
_running: list[Resumable] = []


@contextlib.contextmanager
def resumable(shelf: Shelf) -> Iterator[None]:
    """While it lasts, trainings by TRL's trainers go on from their checkpoints on this shelf, and write new ones."""
    _shelves.append((shelf, itertools.count()))
    try:
        yield
    finally:
        _shelves.pop()


def saves_soon() -> bool:
    """Whether a training is under way that will save itself and end at its next step, once a stop was asked for."""
    return bool(_running)


def begin(trainer: Any, peak: Peak | None, log: Log) -> Resumable | None:
    """The next training of the step; None where none is kept: outside of a run, and in several processes."""
    if not _shelves or trainer.args.world_size > 1 or trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled:
        return None
    shelf, numbers = _shelves[-1]
    return Resumable(shelf, next(numbers), trainer, peak, log)


class Resumable:
    """One training and its checkpoints."""

    def __init__(self, shelf: Shelf, number: int, trainer: Any, peak: Peak | None, log: Log) -> None:
        self.shelf, self.number, self.trainer, self.peak, self.log = shelf, number, trainer, peak, log
        self.rows = fingerprint(trainer.train_dataset)
        self.stop: KeyboardInterrupt | None = None
        """What asked for the end; the training saves itself at the beginning of its next step and raises it."""
        self.unlooked = False
        """Whether the stop cut off the look at the last step."""
        self._from: _Saved | None = None
        self._pass: dict[str, Any] = {}
        self._last, self._cost = time.monotonic(), 0.0

    def run(self, look: Callable[[], bool]) -> None:
        """Train, from the newest checkpoint if there is one that fits.

        Args:
            look: the look at the weights that a stop has cut off; True at a cliff, where training ends.
        """
        _running.append(self)
        try:
            self._from = self._newest()
            if self._from is None:
                self.trainer.train()
            else:
                self._weights(self._from)
                values = self._from.values
                if not values["over"] and not (values["unlooked"] and look()):
                    self.trainer._load_from_checkpoint = lambda *_: None  # it would look for files of its own
                    self.trainer.train(resume_from_checkpoint=str(self._from.folder))
            if self.stop is not None:
                self.save(over=True)
                raise self.stop
        finally:
            _running.remove(self)

    # ---- where the trainer calls ---------------------------------------------------------------------------------
    def train_begins(self) -> None:
        """Optimizer, scheduler and the counters of the log exist from here on."""
        if self._from is not None:
            self._optimizer(self._from)
        self._last = time.monotonic()

    def pass_begins(self) -> None:
        """The order of the rows is drawn next."""
        if self._from is not None:
            generators.put_back(self._from.values["pass"], self._from.generators("pass"))
        self._pass = generators.states()

    def step_begins(self) -> None:
        """All rows of the step are there; nothing is computed yet."""
        if self._from is not None:
            generators.put_back(self._from.values["now"], self._from.generators("now"))
            self._from = None
        elif self.stop is not None or time.monotonic() - self._last >= max(EVERY, self._cost / SHARE):
            self.save()
        if self.stop is not None:
            raise self.stop

    # ---- to disk -------------------------------------------------------------------------------------------------
    def save(self, over: bool = False) -> None:
        """Keep the state as it is. A disk that has no room for it does not end the training."""
        began = time.monotonic()
        try:
            self.shelf.keep(self.number, self.trainer.state.global_step, lambda folder: self._write(folder, over))
        except StorageError as error:
            self.log.note(f"the state of the training could not be kept: {error}")
        self._last = time.monotonic()
        self._cost = self._last - began

    def _write(self, folder: Path, over: bool) -> None:
        trainer, now, optimizer = self.trainer, generators.states(), self.trainer.optimizer.state_dict()
        passed = self._pass or now
        tensors = {f"model/{name}": weight.detach() for name, weight in _changing(trainer.model).items()}
        for place, values in optimizer["state"].items():
            tensors |= {f"optimizer/{place}/{name}": value for name, value in values.items()}
        for name, states in (("now", now), ("pass", passed)):
            tensors |= {f"{name}/{device}": state for device, state in states["torch"].items()}
        tensors["loss"] = trainer._tr_loss.detach()
        values = {
            "training": type(trainer).__name__,
            "rows": self.rows,
            "over": over,
            "unlooked": self.unlooked,
            "optimizer": optimizer["param_groups"],
            "scheduler": {k: v for k, v in trainer.lr_scheduler.state_dict().items() if k != "lr_lambdas"},
            "total": trainer._total_loss_scalar,
            "logged": trainer._globalstep_last_logged,
            "metrics": {name: [float(one) for one in seen] for name, seen in trainer._metrics["train"].items()},
            "tokens": trainer._total_train_tokens,
            "now": now["plain"],
            "pass": passed["plain"],
        }
        if self.peak is not None:
            values["peak"], weights = self.peak.state()
            tensors |= {f"peak/{name}": weight for name, weight in weights.items()}
        trainer.state.save_to_json(str(folder / TRAINER))
        (folder / STATE).write_text(json.dumps(values), encoding="utf-8")
        tensor_files.write(tensors, folder)

    # ---- and back ------------------------------------------------------------------------------------------------
    def _newest(self) -> _Saved | None:
        folder = self.shelf.newest(self.number)
        if folder is None:
            return None
        try:
            saved = _Saved(folder, self.trainer, self.rows, self.peak is not None)
        except Unusable as error:
            self.shelf.drop(folder, str(error))
            return None
        self.log.note(f"training goes on after step {saved.state.global_step} of {saved.state.max_steps}")
        return saved

    def _weights(self, saved: _Saved) -> None:
        import torch

        self.trainer.state = saved.state
        with torch.no_grad():
            for name, weight in _changing(self.trainer.model).items():
                weight.copy_(saved.tensor(f"model/{name}"))
        if self.peak is not None:
            weights = {name: saved.tensor(f"peak/{name}") for name in saved.named("peak")}
            self.peak.take(saved.values["peak"], weights)

    def _optimizer(self, saved: _Saved) -> None:
        trainer, values = self.trainer, saved.values
        states: dict[int, dict[str, Any]] = {}
        scheduler = trainer.lr_scheduler.state_dict()
        try:
            for name in saved.named("optimizer"):
                place, key = name.split("/")
                states.setdefault(int(place), {})[key] = saved.tensor(f"optimizer/{name}")
            scheduler |= {name: values["scheduler"][name] for name in scheduler if name != "lr_lambdas"}
            trainer.optimizer.load_state_dict({"state": states, "param_groups": values["optimizer"]})
            trainer.lr_scheduler.load_state_dict(scheduler)
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{saved.folder} is no checkpoint of this training ({error}); remove it") from error
        trainer._tr_loss = saved.tensor("loss").to(trainer._tr_loss.device)
        trainer._total_loss_scalar, trainer._globalstep_last_logged = values["total"], values["logged"]
        trainer._metrics["train"].update(values["metrics"])
        trainer._total_train_tokens = values["tokens"]


class _Saved:
    """A checkpoint, looked through before anything is changed."""

    def __init__(self, folder: Path, trainer: Any, rows: str, peak: bool) -> None:
        """Raises:
        Unusable: it is damaged, or one of another training.
        """
        from safetensors import SafetensorError
        from transformers.trainer_callback import TrainerState

        self.folder = folder
        try:
            self.values = json.loads((folder / STATE).read_text(encoding="utf-8"))
            self.state = TrainerState.load_from_json(str(folder / TRAINER))
            self._files, self._shapes = tensor_files.headers(folder)
            if (self.values["training"], self.values["rows"]) != (type(trainer).__name__, rows):
                raise Unusable("it is of a training on other rows")
            if lacking := {*NOTED, *(["peak"] if peak else [])} - self.values.keys():
                raise Unusable(f"it lacks {', '.join(sorted(lacking))}")
            if peak and self.values["peak"].keys() - {"cost"} != {"step", "best", "seen"}:
                raise ValueError("what is noted of its peak")
            for name in ("now", "pass"):
                generators.put_back(self.values[name], self.generators(name), trial=True)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, SafetensorError) as error:
            raise Unusable(f"it cannot be read ({str(error)[:80]})") from error
        wanted = {f"model/{name}": list(weight.shape) for name, weight in _changing(trainer.model).items()}
        if wanted != {name: shape for name, shape in self._shapes.items() if name.startswith("model/")}:
            raise Unusable("its weights are those of another model")

    def named(self, kind: str) -> list[str]:
        """The names of its tensors of one kind."""
        return [name.removeprefix(f"{kind}/") for name in self._shapes if name.startswith(f"{kind}/")]

    def tensor(self, name: str) -> Any:
        """One tensor, on the CPU."""
        from safetensors import safe_open

        with safe_open(self._files[name], "pt") as file:
            return file.get_tensor(name)

    def generators(self, name: str) -> dict[str, Any]:
        """The states of torch's generators, by device."""
        return {device: self.tensor(f"{name}/{device}") for device in self.named(name)}


# ---- parts -------------------------------------------------------------------------------------------------------
def fingerprint(rows: Any) -> str:
    """The sha256 of a data set's content."""
    made = hashlib.sha256(str(rows.data.table.schema.remove_metadata()).encode())
    for batch in rows.data.table.to_batches():
        for buffer in (part for column in batch.columns for part in column.buffers() if part is not None):
            made.update(buffer)
    return made.hexdigest()


def _changing(model: Any) -> dict[str, Any]:
    """The weights that are trained, each once, and all buffers."""
    trained = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    return trained | dict(model.named_buffers())
