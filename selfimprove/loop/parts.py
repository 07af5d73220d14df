"""Models by role: one optimization for each part of the weights in a leg of a round, on the records of its role.

A recipe names the roles with their own weights: `parts: [propose]`. All parts start as the weights of round 0. The rest
of a round sees one policy, in which each part answers in its role. It is evaluated, audited and accepted or rejected as
a whole.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from selfimprove import training
from selfimprove.interfaces import Context, Log, Optimization, Policy
from selfimprove.recipe.legs import Leg
from selfimprove.records import SOLVE, Checkpoint, Record

FOLDER = "parts"
"""Folder in a step with one folder for each part except the solver's."""


def optimized(
    methods: Mapping[str, Optimization], leg: Leg, records: Sequence[Record], given: Context
) -> dict[str, tuple[Path, Checkpoint]]:
    """The new weights of each role that trains in a leg, with the folder of its training.

    Each part trains on its own records, from its own weights, and sees the parts that are already trained. A role
    without records keeps its weights.
    """
    now = {role: given.policy.checkpoint.of(role) for role in leg.parts}
    made: dict[str, tuple[Path, Checkpoint]] = {}
    for role in leg.roles:
        own = [record for record in records if leg.part_of(record) == role]
        folder, before = _place(given.folder, role), given.previous and _place(given.previous, role)
        if own:
            folder.mkdir(parents=True, exist_ok=True)
            others = {name: one.path for name, one in now.items() if name != role}
            context = replace(
                given,
                folder=folder,
                previous=before if before is not None and before.exists() else None,
                policy=replace(given.policy, checkpoint=replace(now[role], parts=others)),
                start=given.start.of(role),
                log=given.log if role == SOLVE else PartLog(given.log, role),
                acquire=given.acquire and partial(_acquired, leg, role, given.acquire),
            )
            now[role] = training.in_turn(methods, own, context)
        else:
            given.log.note(f"there are no records in the role {role}, so its weights do not change")
        made[role] = folder, now[role]
    return made


def _acquired(
    leg: Leg, role: str, acquire: Callable[[Policy, int], list[Record]], policy: Policy, number: int
) -> list[Record]:
    """What an acquisition by other weights gives for one part."""
    return [record for record in acquire(policy, number) if leg.part_of(record) == role]


def joined(before: Checkpoint, made: Mapping[str, tuple[Path, Checkpoint]]) -> Checkpoint:
    """One checkpoint of all parts: the newly trained ones, and the others unchanged."""
    parts = {role: one.path for role, (_, one) in made.items() if role != SOLVE}
    solve = made[SOLVE][1] if SOLVE in made else before
    return replace(solve, parts={**before.parts, **parts})


def _place(folder: Path, role: str) -> Path:
    return folder if role == SOLVE else folder / FOLDER / role


class PartLog:
    """Passes everything on, with the role as a prefix of metrics and notes."""

    def __init__(self, log: Log, role: str) -> None:
        self.log, self.role = log, role

    def progress(self, done: int, total: int, unit: str = "") -> None:
        """Report progress."""
        self.log.progress(done, total, unit)

    def metric(self, name: str, value: float) -> None:
        """Record a metric as `role/name`."""
        self.log.metric(f"{self.role}/{name}", value)

    def note(self, text: str) -> None:
        """Show a note to the user."""
        self.log.note(f"{self.role}: {text}")
