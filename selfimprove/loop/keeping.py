"""Which rounds of a run keep their weights, and pruning those of the others.

A pruned round keeps everything else: records, reports, decisions, manifests. So the run is reported, verified, compared
and resumed as before.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from selfimprove.errors import DataError
from selfimprove.loop import stages
from selfimprove.loop.history import Stored
from selfimprove.loop.step_files import read_checkpoint
from selfimprove.loop.target import last_round
from selfimprove.recipe.schema import KEEP
from selfimprove.store.pruning import prune, pruned
from selfimprove.store.seal import damage, read_manifest

ALL = "all"


@dataclass(frozen=True)
class Spare:
    """Weights of a step that can go."""

    number: int
    stage: str
    files: tuple[str, ...]
    """Their names in the step; those that an interrupted prune has named already are among them."""
    size: int
    """Bytes that are freed."""


def kept(stored: Stored, keep: str) -> dict[int, str]:
    """The rounds that keep their weights, and why, as far as the run has got.

    Args:
        keep: see `Recipe.keep`.
    """
    root, trained = stored.folder.root, last_round(stored.folder.root, "optimization")
    decided = last_round(root, "gate")
    now = stored.standing(decided + 1)
    wanted = {0: "the start", trained: "the last", now.incumbent: "the model on trial", now.champion: "the champion"}
    if trained:  # the steps after the last round are handed it, too
        wanted.setdefault(stored.standing(trained).incumbent, f"round {trained} was trained from it")
    if keep != "champion":
        for number in [*wanted]:
            before = stored.standing(number).incumbent if number else 0
            wanted.setdefault(before, f"round {number} was trained from it")
    if found := KEEP.fullmatch(keep):
        best = sorted(range(1, decided + 1), key=lambda number: (-_score(stored, number), number))
        for number in best[: int(found[1] or 0)]:
            wanted.setdefault(number, "among the best")
    if keep == ALL:
        wanted |= {number: "kept" for number in range(trained + 1) if number not in wanted}
    return {**wanted, 0: "the start"}


def _score(stored: Stored, number: int) -> float:
    """The candidate's score on the gate problems of its round."""
    report = stored.report(number, "candidate")
    return report.metrics[report.measure].value if report.measure in report.metrics else 0.0


def spare(stored: Stored, keep: str) -> list[Spare]:
    """The weights of decided rounds that can go.

    Raises:
        DataError: weights that stay are damaged: those of the others may be needed.
    """
    if keep == ALL:
        return []
    wanted = kept(stored, keep)
    stay = {folder for number in wanted for folder in _places(stored, number)}
    found = list[Spare]()
    for number, stage in _steps(stored):
        if number in wanted if stage != "null" else not _examined(stored, number):
            continue
        step = stored.folder.step(number, stage).resolve()
        files = read_manifest(step)["files"]
        names = pruned(step) or {name for name in files if any((step / name).is_relative_to(own) for own in _own(step))}
        paths = {name: step / name for name in sorted(names) if (step / name).exists()}
        going = [name for name, path in paths.items() if not any(path.is_relative_to(place) for place in stay)]
        if going:
            found.append(Spare(number, stage, tuple(going), sum(files[name]["size"] for name in going)))
    if found:
        _check(stored, wanted)
    return found


def free(stored: Stored, keep: str) -> list[Spare]:
    """Prune what can go, under the lock of the run; returns what went.

    Raises:
        DataError: weights that stay are damaged, and nothing went; or weights that can go are, and those stay.
    """
    found = spare(stored, keep)
    for one in found:
        prune(stored.folder.step(one.number, one.stage), one.files)
        stored.folder.reread(one.number, one.stage)
    return found


def _check(stored: Stored, wanted: Collection[int]) -> None:
    """Check that the weights of these rounds are as they were written."""
    steps = [(0, "model"), *((number, stage) for number, stage in _steps(stored) if number in wanted)]
    for step in (stored.folder.step(number, stage) for number, stage in steps):
        if wrong := damage(step):
            way = f"selfimprove resume {stored.folder.root}"
            raise DataError(f"nothing is pruned, because {step} is damaged: {wrong}. Redo it: {way}")


def _examined(stored: Stored, number: int) -> bool:
    """Whether the exam after a round has been held, which compares with the null round."""
    return stored.folder.step(number, "sealed").exists()


def _steps(stored: Stored) -> Iterator[tuple[int, str]]:
    """The finished steps that train, of the rounds that are decided."""
    for number in range(1, last_round(stored.folder.root, "gate") + 1):
        for stage in sorted(stored.folder.finished(number)):
            if stage.partition(".")[0] in stages.NAMED and stages.stage_of(stage).trains:
                yield number, stage


def _own(step: Path) -> list[Path]:
    """The folders of weights that a step wrote itself."""
    made = read_checkpoint(step)
    places = [Path(place) for place in (made.path, *made.parts.values())]
    return [place for place in places if place.is_relative_to(step) and place != step]


def _places(stored: Stored, number: int) -> list[Path]:
    """The folders of the weights that a round uses; those of a part may be of an earlier round."""
    found = list[Path]()
    for stage in ("model", *(one for one in stored.folder.finished(number) if one.startswith("optimization"))):
        step = stored.folder.step(number, stage)
        if step.exists() and not pruned(step):
            made = read_checkpoint(step)
            found += [Path(place) for place in (made.path, *made.parts.values())]
    return found
