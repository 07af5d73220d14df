"""Round 0: the weights to start from, and the folder where models that were built here are kept between runs."""

from __future__ import annotations

import importlib
import inspect
import json
import os
import shutil
from pathlib import Path

from selfimprove.environment import environment
from selfimprove.errors import StorageError
from selfimprove.interfaces import Log
from selfimprove.records import digest
from selfimprove.rundir import MANIFEST, intact, seal
from selfimprove.stored import Stored, write_checkpoint
from selfimprove.task import check_gold

GOLD = 100
"""Problems whose reference answer must be marked right before anything else is done."""
TRAINING = ("likelihood", "lora", "peak", "resume", "schedule", "trainer", "weights")
PLAIN = ("decoding", "expressions", "forward", "list_language", "records", "splits", "text")
WORKERS = tuple(f"selfimprove.{name}" for name in (*(f"training.{name}" for name in TRAINING), *PLAIN))
"""Modules whose code decides, beside the methods', what a bootstrap gives."""


def build(stored: Stored, folder: Path, log: Log) -> dict[str, float]:
    """Round 0: the weights to start from. What was built once with the same content is taken from the cache."""
    task, engine, method = (stored.recipe.the(slot) for slot in ("task", "engine", "model"))
    seed = stored.seed("model")
    check_gold(task, task.problems("selection", GOLD, seed))
    if not method.cached:
        write_checkpoint(method.build(task, engine, folder, seed, log), folder)
        return {}
    settings = {slot: stored.settings[slot] for slot in ("task", "engine", "model")}
    content = {
        "seed": seed,
        "settings": settings,
        "code": [
            inspect.getsource(importlib.import_module(name))
            for name in (*(type(part).__module__ for part in (task, engine, method)), *WORKERS)
        ],
        **environment(settings),
    }
    shelf = _cache() / "models" / digest([content, "with metrics"])[:32]
    if shelf.exists() and intact(shelf):
        shutil.copytree(shelf, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("step.json"))
        log.note(f"taken from the cache: {shelf}")
        for name, value in json.loads((shelf / MANIFEST).read_text())["metrics"].items():
            log.metric(name, value)
        return {}
    noting = _Noting(log)
    write_checkpoint(method.build(task, engine, folder, seed, noting), folder)
    fresh = shelf.with_name(f".{shelf.name}.{os.getpid()}")
    try:
        shutil.copytree(folder, fresh)
        seal(fresh, {"content": digest(content), "metrics": noting.metrics})
        if shelf.exists() and intact(shelf):  # another run was quicker, and a third may be reading it
            shutil.rmtree(fresh)
        else:
            shutil.rmtree(shelf, ignore_errors=True)
            fresh.rename(shelf)
    except (OSError, StorageError) as error:  # the run can do without
        shutil.rmtree(fresh, ignore_errors=True)
        log.note(f"the model was not kept for later runs in {shelf.parent}: {error}")
    return {}


class _Noting:
    """Passes everything on and keeps the numbers, so that a model from the cache has those of its making."""

    def __init__(self, log: Log) -> None:
        self.log, self.metrics = log, dict[str, float]()

    def progress(self, done: int, total: int, unit: str = "") -> None:
        self.log.progress(done, total, unit)

    def metric(self, name: str, value: float) -> None:
        self.metrics[name] = value
        self.log.metric(name, value)

    def note(self, text: str) -> None:
        self.log.note(text)


def _cache() -> Path:
    """Where models built here are kept between runs: $SELFIMPROVE_CACHE, else the user's cache folder."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("SELFIMPROVE_CACHE") or home / "selfimprove")
