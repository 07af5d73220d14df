"""After a failed round, change the options that address the reason of the failure, one rung of a ladder at a time.

Idea: a candidate that did not change needs more training, one that was harmed needs less; the gate's verdict and the
alarms tell which. Changes that worked stay; the ladder of the opposite reason reverses changes that went too far.
Survey: adaptive control, section 6.
Paper: none.
Algorithm:
  1. Find the reason from the level 2 alarm or the guard that vetoed. If McNemar's test at `harm_alpha` shows harm, only
     hacking and contamination take precedence, because a worse model is also less diverse. Without a veto or harm, the
     reason is harm after a rollback, else no effect. An accepted candidate ends the ladder and keeps the options.
  2. In the n-th round in a row with the same reason, take the n-th rung of its ladder, at most `max_retries`. Rungs
     whose options the recipe lacks are skipped. In order:
     no effect: steps x 2; learning rate x 2; data x 2. Harm and forgetting: learning rate / 2; steps / 2; beta x 2.
     Diversity: two rows per problem and temperature x 1.2; learning rate / 2. Length: lengths as the champion's;
     learning rate / 2; steps / 2. Hacking: no rows of earlier rounds and steps / 2; learning rate / 2; beta x 2.
  3. A factor multiplies the current value of the option. In the whole run the product of a knob's factors stays between
     its `bounds` and their inverse; it is computed from the history alone.
Differs: nothing to compare with. Rewards are not swapped: only a person decides whether a monitor becomes the reward.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from selfimprove.bounds import bounded
from selfimprove.errors import RecipeError
from selfimprove.interfaces import Controller
from selfimprove.measures.statistics import discordant, mcnemar
from selfimprove.registry import nearest, register
from selfimprove.rounds import Round, Stop

Rung = dict[str, float | None]
"""Knob -> factor, or None if the knob is set to a value: see `_set`."""
LADDERS: dict[str, tuple[Rung, ...]] = {
    "no effect": ({"steps": 2.0}, {"learning_rate": 2.0}, {"data": 2.0}),
    "harm": ({"learning_rate": 0.5}, {"steps": 0.5}, {"beta": 2.0}),
    "forgetting": ({"learning_rate": 0.5}, {"steps": 0.5}, {"beta": 2.0}),
    "diversity": ({"per_prompt": None, "temperature": 1.2}, {"learning_rate": 0.5}),
    "length": ({"length": None}, {"learning_rate": 0.5}, {"steps": 0.5}),
    "hacking": ({"newest": None, "steps": 0.5}, {"learning_rate": 0.5}, {"beta": 2.0}),
    "contamination": (),
}
CAUSES = {
    **dict.fromkeys(("probe", "ood", "level", "forgetting", "reversal"), "forgetting"),
    **dict.fromkeys(("pass@k", "large_k", "diversity", "entropy"), "diversity"),
    **dict.fromkeys(("reward_hacking", "majority_collapse"), "hacking"),
    **{"length": "length", "contamination": "contamination"},
}
"""Alarm or kind of guard -> reason."""
PLACES = {
    "steps": ("optimization.max_steps", "optimization.num_train_epochs"),
    "learning_rate": ("optimization.learning_rate",),
    "beta": ("optimization.beta",),
    "data": ("acquisition.problems", "acquisition.samples"),
    "temperature": ("acquisition.temperature",),
    "per_prompt": ("selection.per_prompt",),
    "length": ("selection.max_length",),
    "newest": ("optimization.data",),
}
"""Knob -> its possible options; the first one with a number above 0 is used."""
LIMITS = {"steps": 4.0, "learning_rate": 4.0, "data": 4.0, "temperature": 1.5, "beta": 4.0}


@register("retry")
@dataclass
class Retry(Controller):
    autonomy: int = bounded(3, 0, 3)
    """0 observe, 1 advise and 2 gate do not change the recipe; 3 adapt takes the rungs."""
    max_retries: int = bounded(2, 0)
    """Most rungs in a row for the same reason."""
    bounds: dict[str, float] = field(default_factory=lambda: dict(LIMITS))
    """Largest total factor of each knob; 1 never changes it."""
    harm_alpha: float = bounded(0.05, 0, 1)
    """One-sided level at which a candidate counts as harmed."""

    def __post_init__(self) -> None:
        for knob, limit in self.bounds.items():
            if knob not in LIMITS:
                raise RecipeError(f"controller.retry.bounds has no {knob!r}.{nearest(knob, LIMITS)}")
            if not limit >= 1:
                raise RecipeError(f"controller.retry.bounds.{knob} is {limit}; it must be 1 or more")

    def largest(self, settings: dict[str, Any]) -> dict[str, Any]:
        """The values of steps and data at the upper bounds of their factors."""
        turned = dict[str, Any]()
        for knob in ("steps", "data") if self.autonomy == 3 else ():
            found = _find(knob, settings)
            if found:
                key, value = found
                most = value * self.bounds.get(knob, 1.0)
                turned[key] = math.ceil(most) if isinstance(value, int) else most
        return turned

    def next(self, history: Sequence[Round], settings: dict[str, Any]) -> dict[str, Any] | Stop:
        overrides, factors = dict[str, Any](), dict.fromkeys(LIMITS, 1.0)
        before, row = "", 0
        for past in history if self.autonomy == 3 else ():  # earlier rounds give the factors so far
            reason = self._reason(past)
            before, row = reason, row + 1 if reason == before else 1
            rungs = [rung for rung in LADDERS.get(reason, ()) if any(_find(knob, settings) for knob in rung)]
            overrides = {}
            if row <= min(self.max_retries, len(rungs)):
                for knob, factor in rungs[row - 1].items():
                    overrides |= (
                        _set(knob, past, settings) if factor is None else self._turn(knob, factor, factors, settings)
                    )
        return overrides

    def _reason(self, past: Round) -> str:
        """Why the candidate of a round failed; "" if it did not."""
        decision = past.decision
        if decision is None or decision.verdict in ("certify", "accept"):
            return ""
        fallen = [name.partition("/")[0] for name in decision.statistics.get("fallen", ())]
        kinds = ["pass@k" if name.startswith("pass@") else name for name in fallen]
        causes = [*(alert.alarm for alert in past.alerts if alert.level >= 2), *kinds]
        reasons = [CAUSES[cause] for cause in causes if cause in CAUSES]
        reports = [report for report in (past.champion, past.incumbent, past.candidate) if report]
        if any(_worse(old.scores, new.scores) <= self.harm_alpha for old, new in combinations(reports, 2)):
            reasons = [reason for reason in reasons if reason in ("hacking", "contamination")] + ["harm"]
        return [*reasons, "harm" if decision.verdict == "rollback" else "no effect"][0]

    def _turn(self, knob: str, factor: float, factors: dict[str, float], settings: dict[str, Any]) -> dict[str, Any]:
        """Multiply an option within its bounds and record the total factor."""
        limit, went, found = self.bounds.get(knob, 1.0), factors[knob], _find(knob, settings)
        factors[knob] = min(limit, max(1 / limit, went * factor))
        if not found or factors[knob] == went:
            return {}
        key, value = found
        turned = value * factors[knob] / went
        return {key: max(1, round(turned)) if isinstance(value, int) else turned}


def _find(knob: str, settings: dict[str, Any]) -> tuple[str, Any] | None:
    """Key and value of a knob's option; None if the recipe has none."""
    for place in PLACES[knob]:
        slot, _, option = place.partition(".")
        for name, options in settings.get(slot, {}).items():
            value = options.get(option)
            if option in options and (knob not in LIMITS or (isinstance(value, int | float) and value > 0)):
                return f"{slot}.{name}.{option}", value
    return None


def _set(knob: str, past: Round, settings: dict[str, Any]) -> dict[str, Any]:
    """Set an option that has no factor: few rows per problem, no rows of earlier rounds, the champion's lengths."""
    key, value = _find(knob, settings) or ("", None)
    if knob == "per_prompt" and key and (value is None or value > 2):
        return {key: 2}
    if knob == "newest" and value == "all_rounds":  # accumulated rows include those of the hacked rounds
        return {key: "newest"}
    lengths = [len(rollout.text) for rollout in past.champion.rollouts if not rollout.truncated]
    if knob == "length" and key and lengths:
        slot, name, _ = key.split(".")
        shortest = {f"{slot}.{name}.min_length": max(1, min(lengths))} if "min_length" in settings[slot][name] else {}
        return {key: max(lengths), **shortest}
    return {}


def _worse(old: dict[str, float], new: dict[str, float]) -> float:
    """One-sided p that the new scores are worse than the old ones, on the same problems."""
    keys = [key for key in old if key in new]
    better, worse = discordant([new[key] for key in keys], [old[key] for key in keys])
    return mcnemar(worse, better)
