"""Raised when a judge no longer passes its audit form, or judges worse than the weights of round 0 would.

Idea: training on its own judgements also changes the model as a judge. Marked attempts on fresh audit problems measure
  the judge; a frozen copy that judges the same attempts shows what changed.
Survey: biased and drifting judges, sections 6 and 7.
Paper: none; the measures are Youden's J (1950) and the AUC within a problem, see `measures/judge_reliability.py`.
Algorithm:
  1. Take the audit form of each reward that judges, with the candidate as judge and as author of the attempts.
  2. Level 2: it does not pass, and its rewards select data.
  3. Level 1: it does not pass but is only a monitor or trusted; or there are too few marked attempts to tell; or J or
     the AUC is lower than the frozen copy's by more than `margin`, with the whole 95 % interval.
Differs: nothing to compare with.
"""

from __future__ import annotations

from dataclasses import dataclass

from selfimprove.interfaces import Alarm
from selfimprove.records import Alert
from selfimprove.registry import register
from selfimprove.rounds import Evidence

NAMES = {"youden": "TPR - FPR", "auc": "AUC within a problem"}


@register("judge")
@dataclass
class Judge(Alarm):
    margin: float = 0.02
    """Largest fall of J or the AUC against the frozen copy without an alert."""

    def check(self, evidence: Evidence) -> list[Alert]:
        alerts = list[Alert]()
        for name, form in evidence.judges.items():
            fallen = {key: change for key, change in form.drift.items() if change.high < -self.margin}
            falls = [f"{NAMES[key]} is lower by {-change.value:.2f}" for key, change in fallen.items()]
            parts = [f"did not pass its audit form: {form.failure}"] if form.failure else []
            parts += [f"against the weights of round 0 its {', '.join(falls)}"] if falls else []
            level = 2 if form.failure and form.binding and not form.short else int(bool(parts))
            numbers = {key: change.value for key, change in form.drift.items()}
            if level:
                alerts.append(Alert(alarm="judge", level=level, text=f"{name} {'; '.join(parts)}", numbers=numbers))
        return alerts
