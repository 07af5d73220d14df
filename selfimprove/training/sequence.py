"""Run a recipe's chain of optimizations: the first trains on records, each later one takes the previous weights."""

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
    """The checkpoint of the last method; the files of the others are removed.

    Raises:
        EngineError: memory ran out, a GPU's or the machine's.
    """
    (name, first), *later = methods.items()
    made, aside = _optimized(name, first, records, context), list[Path]()
    for following, method in later:
        path = Path(made.path)
        if not path.exists():
            return made  # another of the processes that train together continues
        if path.is_relative_to(context.folder):  # the next method writes to the same place
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
    except (RuntimeError, MemoryError) as error:
        import torch

        if not memory.ran_out(error):
            raise
        gpu = "GPU " if isinstance(error, torch.OutOfMemoryError) else ""
        held = f": {memory.holders()}" if gpu and torch.cuda.is_available() else ""
        ways = ", or ".join(_savings(method))
        raise EngineError(
            f"optimization.{name} ran out of {gpu}memory{held}. Start a new run that needs less: {ways}"
        ) from error


@contextlib.contextmanager
def _swept() -> Iterator[None]:
    """Free the memory of training on exit: trainers, models and optimizers refer to each other.

    Without a GPU, the garbage collector skips objects that existed before; with torch loaded these are a million
    objects, which would take a third of a second.
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
    """The options of a method that reduce its memory, cheapest first."""
    ways, rows = list[str](), method.per_device_train_batch_size if isinstance(method, Trained) else 1
    if rows > 1 and rows % 2 == 0:
        summed = 2 * method.gradient_accumulation_steps
        ways.append(f"per_device_train_batch_size={rows // 2} with gradient_accumulation_steps={summed}")
    if isinstance(method, Adapted):
        ways += [] if method.gradient_checkpointing else ["gradient_checkpointing=true"]
        ways += [] if method.lora.r else ["lora.r=16"]
        ways += [] if method.lora.r and method.lora.load_in_4bit else ["lora.load_in_4bit=true with lora.r"]
    return [*ways, "launcher=process, so that the engine holds no memory"]
