"""Run a recipe's chain of optimizations: the first trains on records, each later one takes the previous weights."""

from __future__ import annotations

import contextlib
import gc
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from selfimprove.errors import EngineError, RecipeError
from selfimprove.inference import memory
from selfimprove.interfaces import Context, Optimization
from selfimprove.records import Checkpoint
from selfimprove.training.options import Adapted, Trained


def in_turn(methods: Mapping[str, Optimization], records: Sequence[Any], context: Context) -> Checkpoint:
    """The checkpoint of the last method; the files of the others are removed.

    Raises:
        EngineError: memory ran out, a GPU's or the machine's, with the smallest batches too.
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
    """The checkpoint of a method; where memory runs out it begins again with half its batches, twice as many a step."""
    while True:
        try:
            with _swept():
                return method.optimize(records, context.held(method))
        except (RuntimeError, MemoryError) as error:
            if not memory.ran_out(error):
                raise
            together = int(os.environ.get("WORLD_SIZE", "1")) > 1  # one process alone cannot begin again
            smaller, gpu = _halved(method), _gpu(error)
            if smaller is None or together:
                raise _no_room(name, method, gpu) from error
        context.log.note(
            f"optimization.{name} ran out of {gpu}memory; it begins again with batches of "
            f"{smaller.per_device_train_batch_size}, {smaller.gradient_accumulation_steps} to a step"
        )
        method = smaller
        gc.collect()  # what the failed attempt held
        if gpu:
            memory.give_back()


def _halved(method: Any) -> Any:
    """The same method with batches of half the size and steps of as many rows; None if there is no smaller batch."""
    if not isinstance(method, Trained) or method.per_device_train_batch_size == 1:
        return None
    rows = method.per_device_train_batch_size
    half = rows // 2 if rows % 2 == 0 else 1
    with contextlib.suppress(RecipeError):  # a method that compares the rows of a batch takes two at least
        summed = method.gradient_accumulation_steps * rows // half
        return replace(method, per_device_train_batch_size=half, gradient_accumulation_steps=summed)
    return None


def _gpu(error: BaseException) -> str:
    import torch

    return "GPU " if isinstance(error, torch.OutOfMemoryError) else ""


def _no_room(name: str, method: Optimization, gpu: str) -> EngineError:
    import torch

    held = f": {memory.holders()}" if gpu and torch.cuda.is_available() else ""
    ways = ", or ".join(_savings(method))
    return EngineError(f"optimization.{name} ran out of {gpu}memory{held}. Start a new run that needs less: {ways}")


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
    ways = list[str]()
    if (smaller := _halved(method)) is not None:
        summed = smaller.gradient_accumulation_steps
        ways.append(
            f"per_device_train_batch_size={smaller.per_device_train_batch_size} with "
            f"gradient_accumulation_steps={summed}"
        )
    if isinstance(method, Adapted):
        ways += [] if method.gradient_checkpointing else ["gradient_checkpointing=true"]
        ways += [] if method.lora.r else ["lora.r=16"]
        ways += [] if method.lora.r and method.lora.load_in_4bit else ["lora.load_in_4bit=true with lora.r"]
    return [*ways, "launcher=process, so that the engine holds no memory"]
