"""Accept every candidate, as published loops do.

Idea: no gate.
Survey: baselines of section 6.
Paper: none.
Algorithm:
  1. The candidate becomes champion; an alert of level 2 is shown but does not veto it.
Differs: nothing to compare with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from selfimprove.interfaces import Gate
from selfimprove.records import Alert, Decision, Report
from selfimprove.registry import register
from selfimprove.rounds import Round


@register("always")
@dataclass
class Always(Gate):
    def decide(
        self,
        champion: Report,
        incumbent: Report,
        candidate: Report,
        alerts: Sequence[Alert],
        history: Sequence[Round],
        rounds: int,
    ) -> Decision:
        return Decision(verdict="certify", reason="every candidate is taken")
