"""Stop when more rounds are not worthwhile: the gains are provably small, or several rounds in a row fail.

Idea: an unobserved gain may still exist, but an upper bound on the gain shows that it is small. Repeated failures also
end a run, because they need a person.
Survey: stopping, section 6.
Paper: arXiv:2412.02674 (Mind the Gap), Song et al., 2024: self-improvement saturates after a few rounds.
Algorithm:
  1. Pool the problems of the last `rounds` rounds and take the mean paired difference between each candidate and the
     incumbent that it was trained from. Stop if its one-sided 95 % upper bound is below `upper` and none of these
     rounds made progress (accepted a candidate or certified a model).
  2. Stop after `max_rejects` rounds in a row with a rejected or rolled back candidate and without progress.
  3. Stop after `max_alarms` rounds in a row with an alert of level 2.
Differs: the paper shows the saturation, the rule is ours. The pooled bound alone would also end a loop whose gate finds
  a few good candidates among many bad ones. One bad candidate often raises several alarms, so step 3 counts rounds.
  Three rounds leave `retry` its two attempts; the method does not know what other controllers could still change.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from selfimprove.bounds import bounded
from selfimprove.interfaces import Controller
from selfimprove.measures.statistics import lower_bound
from selfimprove.registry import register
from selfimprove.rounds import Round, Stop


@register("saturation", paper="2412.02674")
@dataclass
class Saturation(Controller):
    rounds: int = bounded(3, 1)
    """Rounds to pool."""
    upper: float = 0.01
    """Smallest gain per round that is worth continuing for."""
    max_rejects: int = bounded(3, 1)
    """Rejected or rolled back candidates in a row that end the run."""
    max_alarms: int = bounded(2, 1)
    """Rounds in a row with an alert of level 2 that end the run."""

    def next(self, history: Sequence[Round], settings: dict[str, Any]) -> dict[str, Any] | Stop:
        judged = [past for past in history if past.decision is not None]
        alarmed = list(itertools.takewhile(_alarms, reversed(judged)))
        if len(alarmed) >= self.max_alarms:
            names = ", ".join(sorted({name for past in alarmed for name in _alarms(past)}))
            return Stop(reason=f"failed safe: alarms of level 2 in {len(alarmed)} rounds in a row ({names})")
        failed = len(list(itertools.takewhile(_failed, reversed(judged))))
        if failed >= self.max_rejects:
            return Stop(reason=f"failed safe: {failed} candidates in a row were rejected")
        if len(judged) >= self.rounds:
            window = judged[-self.rounds :]
            if not any(map(_forward, window)) and (bound := _bound(window)) < self.upper:
                points = f"{100 * bound:.1f} points per round, below {100 * self.upper:g}"
                return Stop(reason=f"saturated: the last {self.rounds} rounds gained at most {points} (95 % bound)")
        return {}


def _alarms(past: Round) -> list[str]:
    return [alert.alarm for alert in past.alerts if alert.level >= 2]


def _forward(past: Round) -> bool:
    decision = past.decision
    return decision is not None and (decision.certified or decision.verdict in ("certify", "accept"))


def _failed(past: Round) -> bool:
    return past.decision is not None and past.decision.verdict in ("reject", "rollback") and not _forward(past)


def _bound(rounds: Sequence[Round]) -> float:
    """The upper bound of the mean gain of the candidates over the incumbents, over the problems of all these rounds."""
    new, old = list[float](), list[float]()
    for past in rounds:
        base = (past.incumbent or past.champion).scores
        after = past.candidate.scores if past.candidate else {}
        keys = [key for key in base if key in after]
        new += [after[key] for key in keys]
        old += [base[key] for key in keys]
    return -lower_bound(old, new)
