"""Raised when the acquisition made records of held-out problems, which were dropped before training.

Idea: the sha256 of a problem's canonical form decides its split, whoever made it, so contamination can be counted.
Survey: contamination, section 7.5.
Paper: arXiv:2311.04850 (Rephrased Samples), Yang et al., 2023: why a canonical form and not n-grams.
Algorithm:
  1. The share is the number of records that the acquisition step dropped, divided by the number that it made.
  2. Level 1: the share is above `share`.
Differs: there is no level 2. Dropped records are not in the training data, so the candidate has not seen them, and a
  veto would be unjustified: 40 % of the problems that a model invents are held out by chance. Alarms cannot read the
  training data; the loop itself compares its wording with the held-out problems and counts it apart (docs/data.md).
"""

from __future__ import annotations

from dataclasses import dataclass

from selfimprove.bounds import bounded
from selfimprove.interfaces import Alarm
from selfimprove.records import Alert
from selfimprove.registry import register
from selfimprove.rounds import Evidence


@register("contamination", paper="2311.04850")
@dataclass
class Contamination(Alarm):
    share: float = bounded(0.0, 0, 1)
    """Largest share of dropped records without an alert; 0.4 is expected if the model invents problems."""

    def check(self, evidence: Evidence) -> list[Alert]:
        counts = evidence.history[-1].counts if evidence.history else {}
        dropped = counts.get("acquisition/held_out_dropped", 0)
        made = dropped + counts.get("acquisition/records", 0)
        if not dropped or dropped / made <= self.share:
            return []
        text = f"{dropped:.0f} of {made:.0f} records were of held-out problems; they were dropped before training"
        return [Alert(alarm="contamination", level=1, text=text, numbers={"dropped": dropped, "made": made})]
