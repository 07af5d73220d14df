"""Set options of methods from a given round on, as papers do whose later rounds have other constants.

Idea: what is right for the first rounds is too much or too little for later ones, and the papers say in advance when.
Survey: adaptive control, section 6; the constants of self-play, section 2.4.3.
Paper: arXiv:2401.01335 (SPIN), Chen et al., 2024: learning rate, epochs and beta of its scripts change with the round.
Algorithm:
  1. A change names a round and options of the recipe with their values: `{round: 3, optimization.dpo.beta: 5.0}`.
  2. The options have these values from that round on, until a later change sets them again.
Differs: nothing to compare with. The first round is the recipe itself, so changes begin with round 2.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from selfimprove.errors import RecipeError
from selfimprove.interfaces import Controller
from selfimprove.registry import nearest, register
from selfimprove.rounds import Round, Stop


@register("schedule", paper="2401.01335")
@dataclass
class Schedule(Controller):
    changes: list[dict[str, Any]] = field(default_factory=list)
    """The changes, each with its `round` (2 or more) and options as `slot.method.option: value`."""

    def __post_init__(self) -> None:
        for change in self.changes:
            number = change.get("round")
            if isinstance(number, bool) or not isinstance(number, int) or number < 2:
                raise RecipeError(f"controller.schedule: a change needs a round of 2 or more, not {number!r}")

    def largest(self, settings: dict[str, Any]) -> dict[str, Any]:
        raised = dict[str, Any]()
        for key, value in self._planned(settings):
            now = raised.get(key, _value(settings, key))
            if all(isinstance(one, int | float) and not isinstance(one, bool) for one in (now, value)) and value > now:
                raised[key] = value
        return raised

    def next(self, history: Sequence[Round], settings: dict[str, Any]) -> dict[str, Any] | Stop:
        following = history[-1].round + 1
        return dict(self._planned(settings, following))

    def _planned(self, settings: Mapping[str, Any], until: int | None = None) -> Iterator[tuple[str, Any]]:
        """The options that are set, in the order of the rounds, up to a round.

        Raises:
            RecipeError: the recipe has no such option.
        """
        for change in sorted(self.changes, key=lambda one: one["round"]):
            for key, value in change.items():
                if key != "round":
                    _value(settings, key)
                    if until is None or change["round"] <= until:
                        yield key, value


def _value(settings: Mapping[str, Any], key: str) -> Any:
    """The value of `slot.method.option` in a recipe."""
    found: Any = settings
    for name in key.split("."):
        if not isinstance(found, Mapping) or name not in found:
            known = list(found) if isinstance(found, Mapping) else []
            raise RecipeError(f"controller.schedule: the recipe has no {key}.{nearest(name, known)}")
        found = found[name]
    return found
