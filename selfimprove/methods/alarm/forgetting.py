"""Raised when the candidate fails at probes that the champion passes: abilities beside what is trained.

Idea: a loop that trains on one thing unlearns others, and its own score does not show it.
Survey: catastrophic forgetting, section 7.1.
Paper: arXiv:2308.08747 (An Empirical Study of Catastrophic Forgetting), Luo et al., 2023.
Algorithm:
  1. Of each part `probe/...` or `level/...` take the problems that champion and candidate both answered.
  2. McNemar's exact one-sided test that the candidate solves fewer; Holm's correction over the probes.
  3. Level 1: a fall by more than `margin` at `alpha`. Level 2: a fall at `veto_alpha`.
Differs: the paper follows test sets over a series of trainings. A lower bound under -3 points, which asks for proof
  that nothing was lost, is no alarm: the proof takes 688 problems where one in ten changes, and with 100 and nothing
  lost it is missing in three rounds of four. By the rule above at most `alpha` of such rounds ring, over all probes.
"""

from __future__ import annotations

from dataclasses import dataclass

from selfimprove.bounds import bounded
from selfimprove.interfaces import Alarm
from selfimprove.measures.statistics import discordant, holm, mcnemar
from selfimprove.records import Alert
from selfimprove.registry import register
from selfimprove.rounds import Evidence


@register("forgetting", paper="2308.08747")
@dataclass
class Forgetting(Alarm):
    margin: float = 0.03
    """Fall of a probe that is not worth showing."""
    alpha: float = 0.05
    """One-sided level of level 1, over all probes."""
    veto_alpha: float = bounded(0.01, 0, 1)
    """One-sided level of level 2, over all probes."""

    def check(self, evidence: Evidence) -> list[Alert]:
        pairs = _probes(evidence)
        falls = holm([mcnemar(*discordant(before, now)) for before, now in pairs.values()])
        alerts = list[Alert]()
        for (name, (before, now)), p in zip(pairs.items(), falls, strict=True):
            change = (sum(now) - sum(before)) / len(now)
            level = 2 if p <= self.veto_alpha else int(change < -self.margin and p <= self.alpha)
            text = f"{name} fell by {-100 * change:.1f} points against the champion, p = {p:.2g}"
            numbers = {"change": change, "p": p}
            alerts += [Alert(alarm="forgetting", level=level, text=text, numbers=numbers)] if level else []
        return alerts


def _probes(evidence: Evidence) -> dict[str, tuple[list[float], list[float]]]:
    """Of each probe the champion's and the candidate's marks on the same problems."""
    pairs: dict[str, tuple[list[float], list[float]]] = {}
    for latest in evidence.history[-1:]:
        for name, new in latest.candidate.parts.items() if latest.candidate else ():
            old = latest.champion.parts.get(name, {})
            keys = [key for key in old if key in new]
            if name.startswith(("probe/", "level/")) and keys:
                pairs[name] = [old[key] for key in keys], [new[key] for key in keys]
    return pairs
