"""Resume stopped training inside a step, bit for bit: save its state and restore it.

The checkpoints of transformers are not exact for this training: length-grouped rows come in another order from the
second epoch on, the mean loss since the last log is lost, and optimizer and generators are pickles. Here tensors are
safetensors and the rest is JSON, so a folder from a stranger cannot run code.

The state is taken at the beginning of an optimizer step: trainable weights and buffers, optimizer, scheduler, all
random generators now and at the start of the epoch, numbers not yet logged, and the best weights of a `Peak`. The run
decides where it is stored: `resumable`.
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
from selfimprove.training.steering import Steered
from selfimprove.training.trl import tensor_files

EVERY = 600.0
"""Seconds of training between two checkpoints, the most that a SIGKILL may cost; short training writes none."""
SHARE = 0.02
"""Largest share of the time for checkpoints; if writing takes long, they are less frequent."""
STATE, TRAINER = "training.json", "trainer_state.json"
"""The file with our notes, and transformers' own state file under its usual name."""

NOTED = {"optimizer", "scheduler", "total", "logged", "metrics", "tokens", "now", "pass", "over", "unlooked"}
"""The keys of our notes, without those that identify the training run."""


class Shelf(Protocol):
    """The storage of a step's training checkpoints."""

    def newest(self, training: int) -> Path | None:
        """The newest intact checkpoint of the step's n-th training run."""
        ...

    def keep(self, training: int, step: int, write: Callable[[Path], None]) -> None:
        """Write a checkpoint; once it is complete, it replaces the previous one."""
        ...

    def drop(self, checkpoint: Path, reason: str) -> None:
        """Remove a checkpoint that cannot be used."""
        ...


class Unusable(Exception):
    """A checkpoint does not belong to this training run; the message says why."""


_shelves: list[tuple[Shelf, Iterator[int]]] = []
"""The shelf of the step in progress, and the number of its next training run."""
_running: list[Resumable] = []


@contextlib.contextmanager
def resumable(shelf: Shelf) -> Iterator[None]:
    """In this context, TRL's trainers resume from checkpoints on this shelf and write new ones."""
    _shelves.append((shelf, itertools.count()))
    try:
        yield
    finally:
        _shelves.pop()


def saves_soon() -> bool:
    """Whether training is in progress that saves a checkpoint and ends at its next step after a stop request."""
    return bool(_running)


def begin(trainer: Any, peak: Peak | None, log: Log, steered: Steered | None = None) -> Resumable | None:
    """The next training run of the step; None if it has no checkpoints: outside a run, or in several processes."""
    if not _shelves or trainer.args.world_size > 1 or trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled:
        return None
    shelf, numbers = _shelves[-1]
    return Resumable(shelf, next(numbers), trainer, peak, log, steered)


class Resumable:
    """One training run and its checkpoints."""

    def __init__(
        self, shelf: Shelf, number: int, trainer: Any, peak: Peak | None, log: Log, steered: Steered | None = None
    ) -> None:
        self.shelf, self.number, self.trainer, self.peak, self.log = shelf, number, trainer, peak, log
        self.steered = steered
        self.rows = fingerprint(trainer.train_dataset)
        self.stop: KeyboardInterrupt | None = None
        """The exception that requested the stop; training saves at the beginning of its next step and raises it."""
        self.unlooked = False
        """Whether the stop interrupted the evaluation at the last step."""
        self._from: _Saved | None = None
        self._pass: dict[str, Any] = {}
        self._last, self._cost = time.monotonic(), 0.0

    def run(self, look: Callable[[], bool]) -> None:
        """Train, from the newest matching checkpoint if there is one.

        Args:
            look: the evaluation that a stop interrupted; it returns True after a sharp drop, where training ends.
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
                    self.trainer._load_from_checkpoint = lambda *_: None  # it would look for its own files
                    self.trainer.train(resume_from_checkpoint=str(self._from.folder))
            if self.stop is not None:
                self.save(over=True)
                raise self.stop
        finally:
            _running.remove(self)

    # ---- where the trainer calls ---------------------------------------------------------------------------------
    def train_begins(self) -> None:
        """Called once optimizer, scheduler and the counters of the log exist."""
        if self._from is not None:
            self._optimizer(self._from)
        self._last = time.monotonic()

    def pass_begins(self) -> None:
        """Called before the order of the rows is drawn."""
        if self._from is not None:
            generators.put_back(self._from.values["pass"], self._from.generators("pass"))
        self._pass = generators.states()

    def step_begins(self) -> None:
        """Called when the rows of the step are loaded, before anything is computed."""
        if self._from is not None:
            generators.put_back(self._from.values["now"], self._from.generators("now"))
            self._from = None
        elif self.stop is not None or time.monotonic() - self._last >= max(EVERY, self._cost / SHARE):
            self.save()
        if self.stop is not None:
            raise self.stop

    # ---- to disk -------------------------------------------------------------------------------------------------
    def save(self, over: bool = False) -> None:
        """Save the current state. A full disk does not end training."""
        began = time.monotonic()
        try:
            self.shelf.keep(self.number, self.trainer.state.global_step, lambda folder: self._write(folder, over))
        except StorageError as error:
            self.log.note(f"the training checkpoint could not be saved: {error}")
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
        if self.steered is not None:
            values["sampler"] = self.steered.kept()
        trainer.state.save_to_json(str(folder / TRAINER))
        (folder / STATE).write_text(json.dumps(values), encoding="utf-8")
        tensor_files.write(tensors, folder)

    # ---- and back ------------------------------------------------------------------------------------------------
    def _newest(self) -> _Saved | None:
        folder = self.shelf.newest(self.number)
        if folder is None:
            return None
        try:
            saved = _Saved(folder, self.trainer, self.rows, self.peak is not None, self.steered)
        except Unusable as error:
            self.shelf.drop(folder, str(error))
            return None
        self.log.note(f"training continues after step {saved.state.global_step} of {saved.state.max_steps}")
        return saved

    def _weights(self, saved: _Saved) -> None:
        import torch

        self.trainer.state = saved.state
        if self.steered is not None:
            self.steered.put_back(saved.values["sampler"])
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
            raise DataError(f"{saved.folder} is not a checkpoint of this training run ({error}); remove it") from error
        trainer._tr_loss = saved.tensor("loss").to(trainer._tr_loss.device)
        trainer._total_loss_scalar, trainer._globalstep_last_logged = values["total"], values["logged"]
        trainer._metrics["train"].update(values["metrics"])
        trainer._total_train_tokens = values["tokens"]


class _Saved:
    """A checkpoint, checked before anything is changed."""

    def __init__(self, folder: Path, trainer: Any, rows: str, peak: bool, steered: Steered | None = None) -> None:
        """Raises:
        Unusable: it is damaged, or belongs to another training run.
        """
        from safetensors import SafetensorError
        from transformers.trainer_callback import TrainerState

        self.folder = folder
        try:
            self.values = json.loads((folder / STATE).read_text(encoding="utf-8"))
            self.state = TrainerState.load_from_json(str(folder / TRAINER))
            self._files, self._shapes = tensor_files.headers(folder)
            if (self.values["training"], self.values["rows"]) != (type(trainer).__name__, rows):
                raise Unusable("it belongs to training on other rows")
            if lacking := {*NOTED, *["peak"] * peak, *["sampler"] * bool(steered)} - self.values.keys():
                raise Unusable(f"it lacks {', '.join(sorted(lacking))}")
            if peak and self.values["peak"].keys() - {"cost"} != {"step", "best", "seen"}:
                raise ValueError("what is noted of its peak")
            if steered is not None:
                steered.put_back(self.values["sampler"], trial=True)
            for name in ("now", "pass"):
                generators.put_back(self.values[name], self.generators(name), trial=True)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, SafetensorError) as error:
            raise Unusable(f"it cannot be read ({str(error)[:80]})") from error
        wanted = {f"model/{name}": list(weight.shape) for name, weight in _changing(trainer.model).items()}
        if wanted != {name: shape for name, shape in self._shapes.items() if name.startswith("model/")}:
            raise Unusable("its weights belong to another model")

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
    """The trained weights, each once, and all buffers."""
    trained = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    return trained | dict(model.named_buffers())
