"""Champion and candidate of a round on the same gate problems: what was gained, lost, or stayed.

Each gate problem is spent on one decision of its run, so it may be shown once that decision is made.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfimprove import foreign
from selfimprove.errors import DataError
from selfimprove.loop import shapes
from selfimprove.records import Prompt, Rollout, loads
from selfimprove.store.run_folder import RunDir
from selfimprove.store.shape import read

GROUPS = {"gained": (False, True), "lost": (True, False), "wrong": (False, False), "right": (True, True)}
"""Group -> whether champion and candidate solved its problems."""
FEW = 30
"""Problems up to which a line is searched for each of their keys before it is parsed."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One problem, and what both models said to it."""

    group: str
    champion: Rollout
    candidate: Rollout

    @property
    def problem(self) -> Prompt:
        """The problem."""
        return self.candidate.prompt


@dataclass(frozen=True)
class Compared:
    """The decision of a round, problem by problem."""

    folder: Path
    keys: dict[str, list[str]]
    """Group -> the keys of its problems, in the order of the file."""

    def pairs(self, group: str, most: int | None = None) -> Iterator[Pair]:
        """The pairs of a group in the order of the file, the first ones if there are more."""
        wanted = self.keys[group][:most]
        said = [_said(self.folder / f"{who}.jsonl", wanted) for who in ("champion", "candidate")]
        for key in wanted:
            if key in said[0] and key in said[1]:
                yield Pair(group=group, champion=said[0][key], candidate=said[1][key])


def compared(run: RunDir, number: int) -> Compared | None:
    """The problems of the decision of a round; None if there was none yet, or a model has no scores.

    Raises:
        DataError: a file is damaged.
    """
    if "gate" not in run.finished(number) or "evaluation" not in run.finished(number):
        return None
    folder = run.step(number, "evaluation")
    scores = [_scores(folder / f"{who}.json") for who in ("champion", "candidate")]
    keys = {group: list[str]() for group in GROUPS}
    named = {solved: group for group, solved in GROUPS.items()}
    for key, score in scores[0].items():
        if key in scores[1]:
            keys[named[score > 0.5, scores[1][key] > 0.5]].append(key)
    return Compared(folder, keys)


def _scores(path: Path) -> dict[str, Any]:
    return read(path, shapes.REPORT)["scores"]


def _said(path: Path, keys: list[str]) -> dict[str, Rollout]:
    """The first rollout of each of these problems. Of a few, only lines that name one of them are parsed."""
    found, left = dict[str, Rollout](), {key: _needle(key) for key in keys}
    few = len(left) <= FEW
    for number, line in enumerate(foreign.lines(path), 1):
        if not left:
            break
        if few and not any(needle in line for needle in left.values()):
            continue
        try:
            record = loads(line.decode())
        except (DataError, UnicodeDecodeError) as error:
            raise DataError(f"{path}, line {number}: {error}") from error
        if isinstance(record, Rollout) and record.prompt.key in left:
            found[record.prompt.key] = record
            del left[record.prompt.key]
    return found


def _needle(key: str) -> bytes:
    return f'"key": {json.dumps(key, ensure_ascii=False)}'.encode()
