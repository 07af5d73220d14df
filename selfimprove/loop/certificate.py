"""The agreement of an engine with transformers on the run's own task, found out once, at the start of the run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from selfimprove.interfaces import Log
from selfimprove.loop import shapes
from selfimprove.loop.agreement import told
from selfimprove.loop.history import Stored
from selfimprove.loop.step_files import read_checkpoint
from selfimprove.records import Prompt
from selfimprove.store.seal import draft
from selfimprove.store.shape import read

FILE = "agreement.json"


def certify(stored: Stored, folder: Path, log: Log) -> None:
    """Write the engine's certificate into the folder of the step `model`; nothing if the engine has none."""
    task, seed = stored.recipe.the("task"), stored.seed("certificate")

    def problems(count: int) -> list[Prompt]:
        return [problem.blind() for problem in task.problems("selection", count, seed)]

    if found := stored.recipe.the("engine").certificate(read_checkpoint(folder), problems, log):
        draft(folder / FILE, found)
        log.note(told(found))


def certificate_of(stored: Stored) -> dict[str, Any]:
    """The certificate of a run; empty if its engine gave none."""
    path = stored.folder.step(0, "model") / FILE
    return read(path, shapes.AGREEMENT, f"Redo it: selfimprove resume {stored.folder.root}") if path.exists() else {}
