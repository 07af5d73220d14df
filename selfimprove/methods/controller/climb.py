"""Climb from a cheap refinement to a dear one when the cheap one has nothing left to teach.

Idea: what a refinement finds beyond plain samples (its lift) is what imitation can teach. Once the weights have taken
  it over, or no longer take it over, only a stronger search finds more.
Survey: adaptive control, section 6.
Paper: arXiv:2412.02674 (Mind the Gap), Song et al., 2024: self-improvement is driven by the gap between generation and
  verification, and saturates with it.
Algorithm:
  1. Look at the metrics of the acquisition `refined` in the last `patience` rounds. In each of them either the lower
     bound of the lift is at most `lift`, or the retained lift is below `retained`.
  2. Then set `option` to the next of its `values`; after the last one it stays.
Differs: the paper shows that the gap decides, the rule is ours. A step up that does not help is followed by the next
  one a round later, because the rounds before it still count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from selfimprove.bounds import bounded
from selfimprove.errors import RecipeError
from selfimprove.interfaces import Controller
from selfimprove.registry import nearest, register
from selfimprove.rounds import Round, Stop


@register("climb", paper="2412.02674")
@dataclass
class Climb(Controller):
    option: str = "refinement.self_consistency.samples"
    """What is raised, as `slot.method.option`."""
    values: list[int] = field(default_factory=lambda: [8, 16, 32])
    """Its values from cheap to dear; the recipe starts with one of them, or with less."""
    lift: float = 0.01
    """Largest lower bound of a lift that counts as none."""
    retained: float = 0.2
    """Smallest share of a lift that counts as taken over."""
    patience: int = bounded(2, 1)
    """Rounds in a row that must say so."""

    def __post_init__(self) -> None:
        if not self.values or self.values != sorted(set(self.values)):
            raise RecipeError(f"controller.climb.values must rise from cheap to dear, not {self.values}")
        if self.option.count(".") != 2:
            raise RecipeError(f"controller.climb.option is {self.option!r}; write it as slot.method.option")

    def largest(self, settings: dict[str, Any]) -> dict[str, Any]:
        return {self.option: self.values[-1]} if self.values[-1] > self._now(settings) else {}

    def next(self, history: Sequence[Round], settings: dict[str, Any]) -> dict[str, Any] | Stop:
        now, taught = self._now(settings), [past.reported for past in history if "refined/lift_low" in past.reported]
        last = taught[-self.patience :]
        higher = [value for value in self.values if value > now]
        if len(last) < self.patience or not higher or not all(map(self._idle, last)):
            return {}
        return {self.option: higher[0]}

    def _idle(self, numbers: dict[str, float]) -> bool:
        return numbers["refined/lift_low"] <= self.lift or numbers.get("refined/retained", 1.0) < self.retained

    def _now(self, settings: dict[str, Any]) -> float:
        """The value in the recipe.

        Raises:
            RecipeError: it has no such option, or it is no number.
        """
        found: Any = settings
        for name in self.option.split("."):
            if not isinstance(found, dict) or name not in found:
                known = list(found) if isinstance(found, dict) else []
                raise RecipeError(f"controller.climb.option: the recipe has no {self.option}.{nearest(name, known)}")
            found = found[name]
        if isinstance(found, bool) or not isinstance(found, int | float):
            raise RecipeError(f"controller.climb.option: {self.option} is {found!r}, and only numbers can be raised")
        return found
