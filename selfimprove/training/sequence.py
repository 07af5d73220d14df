"""The optimizations of a recipe in turn: one trains on records, each later one works on the weights before it."""

from __future__ import annotations

import contextlib
import gc
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from selfimprove.errors import EngineError
from selfimprove.inference import memory
from selfimprove.interfaces import Context, Optimization
from selfimprove.records import Checkpoint
from selfimprove.training.options import Adapted, Trained


def in_turn(methods: Mapping[str, Optimization], records: Sequence[Any], context: Context) -> Checkpoint:
    """The checkpoint of the last method; what the others wrote is removed.

    Raises:
        EngineError: a GPU's memory did not suffice.
    """
    (name, first), *later = methods.items()
    made, aside = _optimized(name, first, records, context), list[Path]()
    for following, method in later:
        path = Path(made.path)
        if not path.exists():
            return made  # of several processes that trained together another one goes on
        if path.is_relative_to(context.folder):  # the next method writes in the same place
            aside.append(path.rename(context.folder / f"{name}.before"))
            made = replace(made, path=str(aside[-1]))
        made, name = _optimized(following, method, [made], context), following
    for folder in aside:
        shutil.rmtree(folder)
    return made


def _optimized(name: str, method: Optimization, records: Sequence[Any], context: Context) -> Checkpoint:
    try:
        with _swept():
            return method.optimize(records, context.held(method))
    except RuntimeError as error:
        import torch

        if not isinstance(error, torch.OutOfMemoryError):
            raise
        held = f": {memory.holders()}" if torch.cuda.is_available() else ""
        ways = ", or ".join(_savings(method))
        raise EngineError(
            f"optimization.{name} ran out of the GPU's memory{held}. Start anew with what takes less: {ways}"
        ) from error


@contextlib.contextmanager
def _swept() -> Iterator[None]:
    """Leave nothing of a training beside the engine: trainers, models and optimizers refer to each other.

    Where no GPU has to be cleared while the training goes, what was there before is not looked at; with torch loaded
    that is a million objects, and takes a third of a second.
    """
    aside = not gc.get_freeze_count() and ("torch" not in sys.modules or not sys.modules["torch"].cuda.is_available())
    if aside:
        gc.freeze()
    try:
        yield
        gc.collect()
    finally:
        if aside:
            gc.unfreeze()


def _savings(method: Any) -> list[str]:
    """The options of a method that lower what it takes, from the cheapest on."""
    ways, rows = list[str](), method.per_device_train_batch_size if isinstance(method, Trained) else 1
    if rows > 1 and rows % 2 == 0:
        summed = 2 * method.gradient_accumulation_steps
        ways.append(f"per_device_train_batch_size={rows // 2} with gradient_accumulation_steps={summed}")
    if isinstance(method, Adapted):
        ways += [] if method.gradient_checkpointing else ["gradient_checkpointing=true"]
        ways += [] if method.lora.r else ["lora.r=16"]
        ways += [] if method.lora.r and method.lora.load_in_4bit else ["lora.load_in_4bit=true with lora.r"]
    return [*ways, "launcher=process, so that no memory of the engine is in the way"]
