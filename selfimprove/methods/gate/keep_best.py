"""Keep the candidate if its score is higher than the champion's on the same problems.

Idea: hill climbing. Simple, but misled by noise: over many rounds it certifies false gains.
Survey: baselines of section 6.
Paper: none; arXiv:2610.09239 measures what it does.
Algorithm:
  1. Compare the mean scores on this round's gate problems.
  2. If the candidate's is higher and there is no alert of level 2, it becomes champion. Otherwise it is rejected and
     training goes back to the champion.
Differs: both are scored on the same fresh problems; scores of earlier rounds are never used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from selfimprove.interfaces import Gate
from selfimprove.records import Alert, Decision, Report
from selfimprove.registry import register
from selfimprove.rounds import Round


@register("keep_best", paper="2610.09239")
@dataclass
class KeepBest(Gate):
    def decide(
        self,
        champion: Report,
        incumbent: Report,
        candidate: Report,
        alerts: Sequence[Alert],
        history: Sequence[Round],
        rounds: int,
    ) -> Decision:
        old = sum(champion.scores.values()) / max(1, len(champion.scores))
        new = sum(candidate.scores.values()) / max(1, len(candidate.scores))
        grave = dict.fromkeys(alert.alarm for alert in alerts if alert.level >= 2)
        verdict = "certify" if new > old and not grave else "reject"
        reason = f"{new:.3f} against {old:.3f}" + (f"; vetoed by {', '.join(grave)}" if grave else "")
        return Decision(verdict=verdict, reason=reason, statistics={"champion": old, "candidate": new})
