"""Write and read the files of a step that hold a report or name a checkpoint."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, TypeVar, overload

from selfimprove.errors import DataError
from selfimprove.loop import shapes
from selfimprove.records import (
    Checkpoint,
    Metric,
    Prompt,
    Record,
    Report,
    Rollout,
    changed,
    read_records,
    write_records,
)
from selfimprove.safety.model_files import check_code
from selfimprove.store.seal import draft
from selfimprove.store.shape import read

Made = TypeVar("Made")


def write_report(report: Report, folder: Path, who: str) -> None:
    """Write what `read_report` reads."""
    # a metric of no problems is left out
    metrics = {name: asdict(metric) for name, metric in report.metrics.items() if metric.n}
    draft(
        folder / f"{who}.json",
        {"metrics": metrics, "scores": report.scores, "measure": report.measure, "parts": report.parts},
    )
    write_records(folder / f"{who}.jsonl", report.rollouts)


def as_read(records: Sequence[Record]) -> list[Record] | None:
    """The records as `read_records` gives them once they are written; None if only reading them can tell."""
    made, known = list[Record](), dict[int, bool]()
    for record in records:
        prompt = getattr(record, "prompt", None)
        if isinstance(prompt, Prompt) and not known.setdefault(
            id(prompt), _plain(prompt.info) and _plain(prompt.given)
        ):
            return None
        if not _plain(record.info) or (isinstance(record, Prompt) and not _plain(record.given)):
            return None
        made.append(changed(record, ids=(), noted={}, tops=[], rated=False) if isinstance(record, Rollout) else record)
    return made


def _plain(value: Any) -> bool:
    """Whether JSON gives a value back as it is; it gives a tuple back as a list, and a number of numpy as a float."""
    kind = type(value)
    if kind is dict:
        for name, inner in value.items():
            if type(name) is not str or not (type(inner) in _SIMPLE or _plain(inner)):
                return False
        return True
    return kind in _SIMPLE or (kind is list and all(map(_plain, value)))


_SIMPLE = frozenset({str, int, float, bool, type(None)})


def copy_report(folder: Path, who: str, to: str) -> None:
    """Write the report of a policy once more, for another role of the same policy."""
    for ending in ("json", "jsonl"):
        shutil.copyfile(folder / f"{who}.{ending}", folder / f"{to}.{ending}")


def read_report(folder: Path, who: str) -> Report:
    """The report of a policy in the folder of a step. Its rollouts are read on first access."""
    noted = read(folder / f"{who}.json", shapes.REPORT)
    return Report(
        metrics={name: made_of(Metric, value) for name, value in noted["metrics"].items()},
        scores=noted["scores"],
        measure=noted.get("measure", "accuracy"),
        parts=noted["parts"],
        rollouts=Rollouts(folder / f"{who}.jsonl"),
    )


class Rollouts(Sequence[Rollout]):
    """The rollouts in a file, read on first access, because most reports are used without them."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read: tuple[Rollout, ...] | None = None

    @property
    def _all(self) -> tuple[Rollout, ...]:
        if self._read is None:
            self._read = tuple(one for one in read_records(self._path) if isinstance(one, Rollout))
        return self._read

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Rollout]:
        return iter(self._all)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and self._all == tuple(other)

    def __hash__(self) -> int:
        return hash(self._all)

    @overload
    def __getitem__(self, place: int) -> Rollout: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[Rollout, ...]: ...
    def __getitem__(self, place: int | slice) -> Rollout | tuple[Rollout, ...]:
        return self._all[place]


def write_checkpoint(checkpoint: Checkpoint, folder: Path) -> None:
    """Record the place of a step's weights, relative to the step if they are inside it, so that a run can be moved.

    The weights of an unchanged part are in an earlier round of the run.
    """
    path, run, noted = Path(checkpoint.path), folder.parent.parent, asdict(checkpoint)
    noted["path"] = str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)
    if noted["parts"] and path.is_relative_to(run):
        noted["path"] = os.path.relpath(path, folder)
    for role, own in noted["parts"].items():
        noted["parts"][role] = os.path.relpath(own, folder) if Path(own).is_relative_to(run) else own
    if not noted["parts"]:
        del noted["parts"]
    draft(folder / "checkpoint.json", noted)


def read_checkpoint(folder: Path) -> Checkpoint:
    """The weights that a step recorded.

    Raises:
        DataError: loading them would run code; the run may come from a stranger.
    """
    noted = read(folder / "checkpoint.json", shapes.CHECKPOINT)
    places = {"": noted["path"], **noted.get("parts", {})}
    try:
        paths = {role: (folder / place).resolve() for role, place in places.items()}
    except (OSError, ValueError, RuntimeError) as error:  # too long, a NUL, links in a circle
        raise DataError(f"{folder / 'checkpoint.json'} is damaged: a path cannot be used ({error})") from error
    for path in paths.values():
        check_code(path)
    main = str(paths.pop(""))
    made = {**noted, "path": main, "parts": {role: str(path) for role, path in paths.items()}}
    return made_of(Checkpoint, made)


def made_of(kind: type[Made], values: dict[str, Any]) -> Made:
    """An object of a file's values; keys that its kind does not have, from a later version, are left out."""
    known = {one.name for one in fields(kind)}  # pyright: ignore[reportArgumentType]  # a dataclass
    return kind(**{name: value for name, value in values.items() if name in known})
