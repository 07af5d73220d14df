"""What a study is about: weights, the recipe around them, and what their refinements have learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from selfimprove.errors import DataError, MissingError
from selfimprove.interfaces import Log
from selfimprove.loop import begin
from selfimprove.loop.history import Stored
from selfimprove.loop.target import last_round
from selfimprove.needs import OTHERS
from selfimprove.records import Checkpoint
from selfimprove.safety.model_files import check_folder
from selfimprove.store.run_folder import RunDir
from selfimprove.store.seal import damage
from selfimprove.studies.evaluate import model_of


@dataclass(frozen=True, kw_only=True)
class Subject:
    """The weights of a recipe's start, of a model folder, or of a run's champion."""

    recipe: str
    """What `compose.load` takes."""
    checkpoint: Checkpoint
    others: Mapping[str, Checkpoint]
    """The other policies of its run by their names in `needs.OTHERS`; without a run, the same weights."""
    learned: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    """What the run's refinements learned for these weights, by name."""


def subject_of(target: str, overrides: Sequence[str], scratch: Path, log: Log) -> Subject:
    """Find or build the weights that a target names.

    Args:
        target: a recipe, for its start model; a model folder, with the quickstart around it; or a run folder, for its
            champion.
        scratch: an empty folder.

    Raises:
        MissingError: there is no recipe or folder of that name, or the run has no model yet.
        DataError: the folder is not a model, or the run's champion is damaged.
    """
    folder = Path(target)
    if not folder.is_dir():
        weights = begin.started(target, overrides, scratch / "run", log).checkpoint(0)
        return Subject(recipe=target, checkpoint=weights, others=dict.fromkeys(OTHERS, weights))
    if (folder / "recipe.yaml").is_file():
        return _run(folder)
    model = model_of(folder, start=False)
    weights = Checkpoint(path=str(model.resolve()))
    return Subject(recipe="quickstart", checkpoint=weights, others=dict.fromkeys(OTHERS, weights))


def _run(folder: Path) -> Subject:
    stored = Stored(RunDir.open(folder))
    if not stored.folder.step(0, "model").exists():
        raise MissingError(f"{folder} has no model yet; make it: selfimprove resume {folder}")
    champion = stored.standing(last_round(folder, "gate") + 1).champion
    before = stored.standing(champion).incumbent if champion else 0
    step = stored.folder.step(champion, "optimization" if champion else "model")
    if wrong := damage(step):
        raise DataError(f"{step} is damaged: {wrong}. Redo it: selfimprove resume {folder}")
    weights = stored.checkpoint(champion)
    check_folder(Path(weights.path), thorough=True)
    others = (stored.checkpoint(0), weights, stored.checkpoint(before))
    return Subject(
        recipe=str(folder / "recipe.yaml"),
        checkpoint=weights,
        others=dict(zip(OTHERS, others, strict=True)),
        learned=stored.learned(champion),
    )
