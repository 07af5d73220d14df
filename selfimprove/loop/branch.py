"""A branch: a run that shares the first steps of another one and then goes on with other options (`replay`).

Whoever branches has seen how the other run went on. So in its own steps a branch decides on held-out problems that the
other run's own steps have not read: gate problems are drawn with another seed and without those that the other run
consumed, probes and audit problems with another seed, and the exam is the next one if the other run has held its own.
`replay.json` has what was consumed, and the ledger its hash.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfimprove.errors import DataError
from selfimprove.records import digest
from selfimprove.store.ledger import Ledger
from selfimprove.store.seal import is_signed
from selfimprove.store.shape import read

FILE = "replay.json"
STEP = "replay"
"""The step of the ledger's line about the gate problems that the other run consumed."""
SHAPE = {
    "run": str,
    "round": int,
    "step": str,
    "overrides": dict,
    "exams": int,
    "consumed": [str],
    "steps": int,
    "seconds": (int, float),
    "tokens": (int, float),
}
RESTORE = "Restore the file, or replay again"


@dataclass(frozen=True, kw_only=True)
class Branch:
    """Where a run left another one."""

    run: str
    """The name of the other run's folder."""
    round: int
    step: str
    """The first step that the two do not share."""
    overrides: dict[str, Any]
    """Option -> its value from that round on."""
    exams: int
    """Exams that the other run has held in steps that are not shared."""
    consumed: frozenset[str]
    """Keys of the gate problems that the other run's decisions used in steps that are not shared."""
    steps: int
    seconds: float
    """What the shared steps took, without building the start model, which a new run would take from the cache."""
    tokens: float

    @property
    def id(self) -> str:
        """A part of the seeds of this branch's held-out problems: other options give other problems."""
        return digest([self.round, self.step, self.overrides])[:16]

    def owns(self, number: int, step: str, order: Sequence[str]) -> bool:
        """Whether a step is the branch's own; `order` has the names of a round's steps and of those at the end."""
        late = step not in order or self.step not in order or order.index(step) >= order.index(self.step)
        return number > self.round or (number == self.round and late)


def branch_of(root: Path, environment: dict[str, Any], ledger: Ledger) -> Branch | None:
    """Where the run in a folder left another one; None if it is no branch.

    Raises:
        DataError: replay.json is missing, damaged, or not the one that the ledger has.
    """
    if "replay" not in environment:
        return None
    path = root / FILE
    if not path.exists():
        raise DataError(f"{path} is missing: it has the gate problems that the other run used. {RESTORE}")
    found = read(path, SHAPE, RESTORE)
    noted = [entry for entry in ledger.entries(repair=False) if entry["step"] == STEP]
    hashed = digest(sorted(found["consumed"]))
    if not is_signed(found) or not any(entry.get("keys") == hashed for entry in noted):
        raise DataError(f"{path} is damaged: it is not the one that the ledger has. {RESTORE}")
    values = {name: found[name] for name in SHAPE}
    return Branch(**{**values, "consumed": frozenset(found["consumed"])})
