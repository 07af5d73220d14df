"""What a method uses besides data: declared before a run, checked for availability, and enforced at run time."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from selfimprove.costs import NOTHING, Cost
from selfimprove.errors import Refused
from selfimprove.records import SOLVE

OTHERS = ("start", "champion", "before")
"""Policies of a run beside the one in use: the weights of round 0; the best that were certified before this round;
those that the weights in use were trained from."""
SAID = {
    "roles": "the role",
    "tools": "the tool",
    "policies": "the policy",
    "engine": "the engine's",
    "statistics": "the statistic",
}
"""Field of `Needs` -> its wording in messages."""


@dataclass(frozen=True, kw_only=True)
class Needs:
    """Everything that a method uses, by name; undeclared use is refused. Needs add up."""

    roles: tuple[str, ...] = ()
    """The roles that it uses: those of `interfaces.ROLES`, and any other that it has words for, such as `plan`. A
    recipe may give them to other engines or other weights."""
    tools: tuple[str, ...] = ()
    """Tools of the task that it calls."""
    policies: tuple[str, ...] = ()
    """Other policies of the run that it draws from, of `OTHERS`."""
    engine: tuple[str, ...] = ()
    """The engine's abilities that it uses, among `interfaces.ABILITIES`, besides plain samples."""
    statistics: tuple[str, ...] = ()
    """Statistics of given tokens that it uses, by their names in `Engine.logprobs_of`."""
    packages: tuple[str, ...] = ()
    """Packages besides those that are always installed, by import name."""
    one_process: bool = False
    """Whether it trains in one process only."""

    def __add__(self, other: Needs) -> Needs:
        return Needs(**{name: operator.add(one, vars(other)[name]) for name, one in vars(self).items()})

    def missing(self, can: Iterable[str]) -> list[str]:
        """The needs that an engine with these abilities lacks, in the order of the declaration."""
        wanted = [*self.engine, *(["logprobs"] if self.statistics else [])]
        return [name for name in dict.fromkeys(wanted) if name not in set(can)]

    def not_installed(self) -> list[str]:
        """The declared packages that cannot be imported."""
        return [name for name in self.packages if find_spec(name) is None]


@dataclass(frozen=True)
class Hold:
    """Enforces a method's needs at run time."""

    method: str
    needs: Needs

    @classmethod
    def of(cls, method: Any) -> Hold:
        """The `Held` of a recipe's method."""
        return cls(called(method), method.needs())

    def use_all(self, needs: Needs) -> None:
        """Check the use of everything in `needs`, except packages."""
        for kind in SAID:
            if names := getattr(needs, kind):
                self.use(kind, *names)

    def use(self, kind: str, *names: str) -> None:
        """Check the use of these names.

        Args:
            kind: a field of `Needs`.

        Raises:
            Refused: the method has not declared one of them.
        """
        declared = vars(self.needs)[kind]
        for name in names:
            if name not in declared and (kind, name) != ("roles", SOLVE):
                raise Refused(
                    f"{self.method} uses {SAID[kind]} {name!r} and does not declare it: its needs() must return "
                    f"Needs({kind}=({name!r},))"
                )


@dataclass
class Tab:
    """A method's cost for one problem, limited to its declaration; the cost of methods inside it counts too."""

    method: str
    most: Cost
    above: Tab | None = None
    spent: Cost = NOTHING

    def pay(self, cost: Cost) -> None:
        """Add to the cost.

        Raises:
            Refused: the cost exceeds the method's declaration.
        """
        self.spent += cost
        if not self.spent.within(self.most):
            both = zip(Cost._fields, self.spent, self.most, strict=True)
            name, spent, most = next(one for one in both if one[1] > one[2])
            raise Refused(
                f"{self.method} takes {spent} {name} for one problem and declares at most {most}: its "
                "cost(given) must return the most that an answer takes"
            )
        if self.above is not None:
            self.above.pay(cost)


def called(method: Any) -> str:
    """A method's place in a recipe, such as `reward.judge`; of one that is not in a method's file its class."""
    parts = type(method).__module__.split(".")
    return ".".join(parts[-2:]) if parts[:2] == ["selfimprove", "methods"] else type(method).__name__
