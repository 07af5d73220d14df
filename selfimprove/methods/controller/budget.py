"""Stop before a round that would exceed a limit of hours, money, tokens or training steps.

Idea: the result of a run is its final exam, so the run must stop between two rounds and early enough for the exam.
Survey: adaptive control, section 6.
Paper: none.
Algorithm:
  1. Predict the next round from the largest so far, plus the increase from the previous to the last round, if any.
     Hours, money and tokens vary by chance and are multiplied by `margin`.
  2. Predict the end of the run: two policies take the final exam, which is sealed_problems / gate_problems times as
     long as an evaluation for the gate; the start votes on control_problems; two policies may be evaluated for the gate
     once more. An evaluation of one policy takes as long as in the slowest round.
  3. Stop if spent + next round + end of the run exceed a limit.
Differs: nothing to compare with. The first round always runs; the cost of a killed step is unknown. The prediction
  ignores controllers that enlarge the next round: with `retry`, which doubles, set `margin` to 2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from selfimprove.bounds import bounded
from selfimprove.errors import RecipeError
from selfimprove.interfaces import Controller
from selfimprove.registry import register
from selfimprove.rounds import Round, Stop


@register("budget")
@dataclass
class Budget(Controller):
    hours: float | None = bounded(None, above=0)
    """Hours of all steps, including the start and the final exam; null sets no limit."""
    money: float | None = bounded(None, above=0)
    """The same limit in money, at `price_per_hour`."""
    price_per_hour: float | None = bounded(None, above=0)
    """Price of an hour."""
    tokens: int | None = bounded(None, 1)
    """Completion tokens of all stages that count them; null sets no limit."""
    training_steps: int | None = bounded(None, 1)
    """Optimizer steps of all rounds; null is no limit."""
    margin: float = bounded(1.1, 1)
    """Safety factor on the predicted round."""

    def __post_init__(self) -> None:
        if self.money is not None and self.price_per_hour is None:
            raise RecipeError("controller.budget.money needs controller.budget.price_per_hour")

    def next(self, history: Sequence[Round], settings: dict[str, Any]) -> dict[str, Any] | Stop:
        for name in ("hours", "money", "tokens", "training_steps"):
            limit = getattr(self, name)
            if limit is None:
                continue
            rounds, ending = self._used(name, history, settings)
            spent, following = math.fsum(rounds), _following(rounds[1:])
            if name != "training_steps":
                following *= self.margin
            if spent + following + ending > limit:
                end = f", the end of the run {ending:.3g}" if ending else ""
                told = f"{spent:.3g} are spent, the next round may take {following:.3g}{end}"
                return Stop(reason=f"budget of {limit:g} {name.replace('_', ' ')}: {told}")
        return {}

    def _used(self, name: str, history: Sequence[Round], settings: dict[str, Any]) -> tuple[list[float], float]:
        """The usage of each round, round 0 first, and the predicted usage of the end of the run."""
        if name in ("tokens", "training_steps"):
            return [_counted(past, "tokens" if name == "tokens" else "steps") for past in history], 0.0
        price = 1 / 3600 if name == "hours" else (self.price_per_hour or 0.0) / 3600
        control = settings["control_problems"] * settings["control_samples"]
        exams = (2 * settings["sealed_problems"] + control) / settings["gate_problems"] + 2
        one = max((past.seconds.get("evaluation", 0.0) / _policies(past) for past in history), default=0.0)
        return [price * _seconds(past) for past in history], price * exams * one


def _following(rounds: Sequence[float]) -> float:
    """The largest round so far, plus the increase from the previous to the last round, as accumulating data causes."""
    return max(rounds, default=0.0) + max(0.0, rounds[-1] - rounds[-2] if len(rounds) > 1 else 0.0)


def _seconds(past: Round) -> float:
    """Without the controllers' own time, which is unknown while they decide; a repeated step must see the same."""
    return math.fsum(seconds for stage, seconds in past.seconds.items() if stage != "controller")


def _policies(past: Round) -> int:
    """The number of policies evaluated in a round; equal ones are evaluated once."""
    if past.candidate is None:
        return 1
    return 2 if past.incumbent is None or past.incumbent.scores == past.champion.scores else 3


def _counted(past: Round, name: str) -> float:
    """The sum of a count over the stages of a round."""
    found = [value for key, value in past.counts.items() if key.partition("/")[2] == name]
    if past.round and not found:
        raise RecipeError(f"controller.budget cannot limit {name}: no step of round {past.round} counts them")
    return math.fsum(found)
