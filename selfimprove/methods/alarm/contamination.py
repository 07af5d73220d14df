"""Shows that the acquisition brought records of held-out problems, which were dropped before training.

Idea: the sha256 of a problem's canonical form says which split it is in, whoever made it; so contamination is a count.
Survey: contamination, section 7.5.
Paper: arXiv:2311.04850 (Rephrased Samples), Yang et al., 2023: why a canonical form and not n-grams.
Algorithm:
  1. Share: the records that the acquisition step dropped over all that it made.
  2. Level 1: the share is above `share`.
Differs: there is no level 2. What was dropped is not in the training data, so the candidate has not seen it, and a
  veto would punish it for nothing: a model that makes up problems meets the held-out 40 % of the buckets by chance.
  Texts are not compared: the training data is out of an alarm's reach, so a problem with a wrong key is not found.
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
    """Share of dropped records that is not worth showing; a recipe whose model makes up problems expects 0.4."""

    def check(self, evidence: Evidence) -> list[Alert]:
        counts = evidence.history[-1].counts if evidence.history else {}
        dropped = counts.get("acquisition/held_out_dropped", 0)
        made = dropped + counts.get("acquisition/records", 0)
        if not dropped or dropped / made <= self.share:
            return []
        text = f"{dropped:.0f} of {made:.0f} records were of held-out problems; they were dropped before training"
        return [Alert(alarm="contamination", level=1, text=text, numbers={"dropped": dropped, "made": made})]
