"""Bounds of options: a field's metadata says which numbers it takes, and recipes are checked against it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

LARGEST = 10**15
"""The largest whole number that any option takes."""


@dataclass(frozen=True)
class Bounds:
    """The numbers that an option takes."""

    low: float = -math.inf
    high: float = LARGEST
    above: float = -math.inf
    """An exclusive lower bound."""
    below: float = math.inf

    def holds(self, value: float) -> bool:
        """Whether the option takes a number; NaN and infinity are never taken."""
        inside = self.low <= value <= self.high and self.above < value < self.below
        return math.isfinite(value) and abs(value) <= LARGEST and inside

    def told(self, value: float) -> str:
        """The numbers that the option takes, with the limit of all options where a value is above it."""
        return (
            f"{self}, and at most {LARGEST:g}"
            if self.high == LARGEST < value < math.inf and self.low > -math.inf
            else str(self)
        )

    def __str__(self) -> str:
        lows = [f"at least {self.low:g}"] * (self.low > -math.inf) + [f"above {self.above:g}"] * (
            self.above > -math.inf
        )
        highs = [f"at most {self.high:g}"] * (self.high < LARGEST) + [f"below {self.below:g}"] * (self.below < math.inf)
        if not lows and not highs:
            return f"{-LARGEST:g} to {LARGEST:g}"
        if self.low > -math.inf and self.high < LARGEST:
            return f"{self.low:g} to {self.high:g}"
        return " and ".join([*lows, *highs])


def bounded(
    default: Any,
    low: float = -math.inf,
    high: float = LARGEST,
    *,
    above: float = -math.inf,
    below: float = math.inf,
) -> Any:
    """The default of an option that takes numbers from `low` to `high`, or above `above` and below `below`."""
    return field(default=default, metadata={"bounds": Bounds(low, high, above, below)})


def bounds_of(method: type) -> dict[str, Bounds]:
    """The bounds of a method's options, by name; a class that repeats an option inherits its bounds."""
    found: dict[str, Bounds] = {}
    for parent in reversed(method.__mro__):
        for name, one in vars(parent).get("__dataclass_fields__", {}).items():
            if "bounds" in one.metadata:
                found[name] = one.metadata["bounds"]
    return found
