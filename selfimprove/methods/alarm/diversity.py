"""Raised when a solved problem has fewer different right solutions than in round 0.

Idea: a loop that trains on its own output can lose the ways to a solution long before it loses the solution.
Survey: model collapse, section 7.1.
Paper: arXiv:2407.05013 (Progress or Regress?), Wu et al., 2024.
Algorithm:
  1. Of each problem with a right sample count the different right texts, white space folded, over its samples.
  2. Compare the mean over these problems with that of round 0. Level 1: it fell by `fall` of it, significantly at
     `alpha`. Level 2: by `veto_fall`, significantly at `veto_alpha`.
Differs: the paper compares texts by n-grams, embeddings and equations; here they are equal or not. A problem that fewer
  samples solve has fewer solutions, so a fall of accuracy shows here too. The significance is ours.
"""

from __future__ import annotations

from dataclasses import dataclass

from selfimprove.bounds import bounded
from selfimprove.interfaces import Alarm
from selfimprove.measures.statistics import z_test
from selfimprove.records import Alert
from selfimprove.registry import register
from selfimprove.rounds import Evidence, Groups


@register("diversity", paper="2407.05013")
@dataclass
class Diversity(Alarm):
    fall: float = 0.2
    """Relative fall that is shown."""
    veto_fall: float = 0.4
    """Relative fall that vetoes."""
    alpha: float = 0.05
    """One-sided level of level 1."""
    veto_alpha: float = bounded(0.01, 0, 1)
    """One-sided level of level 2."""

    def check(self, evidence: Evidence) -> list[Alert]:
        start, now = _distinct(evidence.start), _distinct(evidence.candidate)
        if not start or not now:
            return []
        before, after = sum(start) / len(start), sum(now) / len(now)
        fell, p = 1 - after / before, z_test(start, now)
        level = 2 if fell >= self.veto_fall and p <= self.veto_alpha else int(fell >= self.fall and p <= self.alpha)
        text = f"{fell:.0%} fewer different right solutions of a solved problem than in round 0"
        numbers = {"distinct": after, "distinct_of_start": before, "p": p}
        return [Alert(alarm="diversity", level=level, text=text, numbers=numbers)] if level else []


def _distinct(groups: Groups) -> list[float]:
    """Different right texts over samples, of each problem that is solved."""
    right = [{" ".join(r.text.split()) for r in group if (r.info.get("truth") or 0.0) > 0.5} for group in groups]
    return [len(texts) / len(group) for texts, group in zip(right, groups, strict=True) if texts]
