"""Raised when a solved problem has fewer different right solutions than in round 0.

Idea: a loop that trains on its own output can lose alternative solutions long before it loses accuracy.
Survey: model collapse, section 7.1.
Paper: arXiv:2407.05013 (Progress or Regress?), Wu et al., 2024.
Algorithm:
  1. For each problem with a right sample, divide the number of different right texts (up to white space) by the number
     of samples.
  2. Compare the mean over these problems with round 0. Level 1: a relative fall of `fall`, significant at `alpha`.
     Level 2: of `veto_fall`, significant at `veto_alpha`.
Differs: the paper compares texts by n-grams, embeddings and equations; here only by equality. A problem that fewer
  samples solve has fewer solutions, so a fall in accuracy also lowers this measure. The significance tests are ours.
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
    """Relative fall that raises level 1."""
    veto_fall: float = 0.4
    """Relative fall that raises level 2, a veto."""
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
    """Different right texts divided by samples, for each solved problem."""
    right = [{" ".join(r.text.split()) for r in group if (r.info.get("truth") or 0.0) > 0.5} for group in groups]
    return [len(texts) / len(group) for texts, group in zip(right, groups, strict=True) if texts]
