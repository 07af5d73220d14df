"""Raised when the candidate loses abilities beside the trained task, as measured by probes that the champion passes.

Idea: a loop that trains on one thing may unlearn others, which its own score does not show.
Survey: catastrophic forgetting, section 7.1.
Paper: arXiv:2308.08747 (An Empirical Study of Catastrophic Forgetting), Luo et al., 2023.
Algorithm:
  1. For each part `probe/...` or `level/...` take the problems that both champion and candidate answered.
  2. McNemar's exact one-sided test that the candidate solves fewer; Holm's correction over the probes.
  3. Level 1: a fall by more than `margin` at `alpha`. Level 2: a fall at `veto_alpha`.
Differs: the paper follows test sets over a series of training runs. A lower bound below -3 points does not raise the
  alarm: proving that nothing was lost takes 688 problems if one in ten changes, and with 100 problems and no loss the
  proof fails in three of four rounds. With the rule above, at most a share `alpha` of rounds without a loss raise it.
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
    """Largest fall of a probe without an alert."""
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
    """For each probe, the champion's and the candidate's marks on the same problems."""
    pairs: dict[str, tuple[list[float], list[float]]] = {}
    for latest in evidence.history[-1:]:
        for name, new in latest.candidate.parts.items() if latest.candidate else ():
            old = latest.champion.parts.get(name, {})
            keys = [key for key in old if key in new]
            if name.startswith(("probe/", "level/")) and keys:
                pairs[name] = [old[key] for key in keys], [new[key] for key in keys]
    return pairs
