"""The legs of a round: each one acquires and selects data and trains some parts of the weights.

A recipe without `legs` has one leg with all acquisitions and all parts. Otherwise each part named there has its own leg
with its own acquisitions, and uses the weights of earlier legs. The solver's leg comes last; parts without a leg train
in it on the records of their role.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from selfimprove.interfaces import Acquisition
from selfimprove.recipe.schema import Recipe
from selfimprove.records import SOLVE, Preference, Record, Rollout


@dataclass(frozen=True)
class Leg:
    """One pass through acquisition, selection and optimization."""

    name: str
    """The role of the leg; "" for the last one, whose steps have plain names."""
    acquisition: Mapping[str, Acquisition]
    parts: Sequence[str]
    """All roles with their own weights, and the solver last."""
    roles: Sequence[str]
    """The roles that train in this leg, in order."""

    def step(self, stage: str) -> str:
        """The name of the leg's step for a stage."""
        return step_of(stage, self.name)

    def part_of(self, record: Record) -> str:
        """The part of the weights that a record is for; one without a role is for the owner of the leg."""
        if not isinstance(record, Rollout | Preference):
            return self.roles[-1]
        return record.role if record.role in self.parts else SOLVE

    def own(self, records: Sequence[Record]) -> list[Record]:
        """The records for the parts that train in this leg."""
        if len(self.roles) == len(self.parts):
            return list(records)
        return [record for record in records if self.part_of(record) in self.roles]


def step_of(stage: str, leg: str) -> str:
    """The name of a leg's step for a stage."""
    return f"{stage}.{leg}" if leg else stage


def legs_of(recipe: Recipe) -> list[Leg]:
    """The legs of a round in order; the last one has no name."""
    parts = [*(recipe.parts or ()), SOLVE]
    if not recipe.legs:
        return [Leg("", recipe.acquisition, parts, parts)]
    chains: dict[str, dict[str, Acquisition]] = {}
    for role, _, name in (one.partition(".") for one in recipe.legs):
        chains.setdefault(role, {})[name] = recipe.acquisition[name]
    *earlier, last = sorted(chains, key=lambda role: role == SOLVE)
    late = [role for role in parts if role not in earlier]
    return [*(Leg(role, chains[role], parts, [role]) for role in earlier), Leg("", chains[last], parts, late)]
