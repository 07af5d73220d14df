"""Models by role: one optimization for each part of the weights in a leg of a round, on what was said in its role.

A recipe names the roles that have weights of their own: `parts: [propose]`. All begin as the weights of round 0. The
rest of a round sees one policy, whose roles are answered by their parts. It is evaluated, audited and judged as a
whole, so a round that is rejected takes all parts back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from selfimprove import training
from selfimprove.interfaces import Context, Log, Optimization
from selfimprove.recipe.legs import Leg
from selfimprove.records import SOLVE, Checkpoint, Record

FOLDER = "parts"
"""Within a step, the folder with a folder for each part but the first."""


def optimized(
    methods: Mapping[str, Optimization], leg: Leg, records: Sequence[Record], given: Context
) -> dict[str, tuple[Path, Checkpoint]]:
    """The new weights of each role that learns in a leg, with the folder of its training.

    Each is trained on its own records, from its own weights, and meets the others as they are by then. Where nothing
    was said in a role, its weights stay.
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
            )
            now[role] = training.in_turn(methods, own, context)
        else:
            given.log.note(f"nothing was said in the role {role}: its weights stay as they are")
        made[role] = folder, now[role]
    return made


def joined(before: Checkpoint, made: Mapping[str, tuple[Path, Checkpoint]]) -> Checkpoint:
    """One checkpoint of all parts: those that were trained, and the others as they were before."""
    parts = {role: one.path for role, (_, one) in made.items() if role != SOLVE}
    solve = made[SOLVE][1] if SOLVE in made else before
    return replace(solve, parts={**before.parts, **parts})


def _place(folder: Path, role: str) -> Path:
    return folder if role == SOLVE else folder / FOLDER / role


class PartLog:
    """Names the metrics of a part by its role, and passes all on."""

    def __init__(self, log: Log, role: str) -> None:
        self.log, self.role = log, role

    def progress(self, done: int, total: int, unit: str = "") -> None:
        """How far the work is."""
        self.log.progress(done, total, unit)

    def metric(self, name: str, value: float) -> None:
        """A number, as `role/name`."""
        self.log.metric(f"{self.role}/{name}", value)

    def note(self, text: str) -> None:
        """A remark for the user."""
        self.log.note(f"{self.role}: {text}")
