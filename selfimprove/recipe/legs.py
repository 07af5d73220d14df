"""The legs of a round: in each, data are acquired and selected, and some parts of the weights learn from them.

A recipe without `legs` has one, in which all acquisitions run and all parts are trained. Otherwise each part that is
named there has a leg of its own, with the acquisitions that are its own, and meets the weights that the legs before it
have made. The part that solves comes last; what has no leg learns in the last one from what was said in its role.
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
    """The role whose leg it is; "" for the last one, whose steps have the plain names."""
    acquisition: Mapping[str, Acquisition]
    parts: Sequence[str]
    """All roles with weights of their own, and last the one that solves."""
    roles: Sequence[str]
    """Those of them that learn in it, in the order in which they are trained."""

    def step(self, stage: str) -> str:
        """The name of its step of a stage."""
        return step_of(stage, self.name)

    def part_of(self, record: Record) -> str:
        """The part of the weights that a record is for; one without a role is for the owner of the leg."""
        if not isinstance(record, Rollout | Preference):
            return self.roles[-1]
        return record.role if record.role in self.parts else SOLVE

    def own(self, records: Sequence[Record]) -> list[Record]:
        """The records that a part learns from which is trained in it."""
        return [record for record in records if self.part_of(record) in self.roles]


def step_of(stage: str, leg: str) -> str:
    """The name of a leg's step of a stage."""
    return f"{stage}.{leg}" if leg else stage


def legs_of(recipe: Recipe) -> list[Leg]:
    """The legs of a round, in their order; the last one has no name."""
    parts = [*(recipe.parts or ()), SOLVE]
    if not recipe.legs:
        return [Leg("", recipe.acquisition, parts, parts)]
    chains: dict[str, dict[str, Acquisition]] = {}
    for role, _, name in (one.partition(".") for one in recipe.legs):
        chains.setdefault(role, {})[name] = recipe.acquisition[name]
    *earlier, last = sorted(chains, key=lambda role: role == SOLVE)
    late = [role for role in parts if role not in earlier]
    return [*(Leg(role, chains[role], parts, [role]) for role in earlier), Leg("", chains[last], parts, late)]
