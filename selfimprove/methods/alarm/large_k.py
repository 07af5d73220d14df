"""Raised when the candidate solves fewer problems in many attempts than the champion.

Idea: a loop that only sharpens raises pass@1 and lowers pass@k for large k: it loses problems that it could solve.
Survey: performance evaluation, section 6; model collapse, section 7.1.
Paper: arXiv:2412.02674 (Mind the Gap), Song et al., 2024.
Algorithm:
  1. If the evaluation has `pass@k`, take the largest k and test the fall from champion to candidate, paired by problem:
     McNemar's exact test for marks of 0 and 1, else a sign-flip test.
  2. Otherwise take pass@k of the audit samples, with k all samples, and a z-test between the two sets of problems.
  3. Level 1: a fall by more than `margin`, significant at `alpha`. Level 2: a fall at `veto_alpha`.
Differs: the paper plots pass@k over rounds. A lower bound below -3 points does not raise the alarm: with 100 problems
  and no loss it would do so in most rounds. The gate `ratchet` checks that bound instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from selfimprove.bounds import bounded
from selfimprove.interfaces import Alarm
from selfimprove.measures.attempts import pass_at_k
from selfimprove.measures.statistics import discordant, mcnemar, sign_flip, z_test
from selfimprove.records import Alert
from selfimprove.registry import register
from selfimprove.rounds import Evidence, Groups


@register("large_k", paper="2412.02674")
@dataclass
class LargeK(Alarm):
    margin: float = 0.03
    """Largest fall without an alert."""
    alpha: float = 0.05
    """One-sided level of level 1."""
    veto_alpha: float = bounded(0.01, 0, 1)
    """One-sided level of level 2."""

    def check(self, evidence: Evidence) -> list[Alert]:
        name, before, now = _guarded(evidence)
        p = _paired_fall(before, now) if name else 1.0
        if not name:
            audits = (evidence.champion, evidence.candidate)
            k = min((len(group) for groups in audits for group in groups), default=0)
            name, before, now = f"pass@{k} of the audit", *(_pass(groups, k) for groups in audits)
            p = z_test(before, now)
        if not before or not now:
            return []
        change = sum(now) / len(now) - sum(before) / len(before)
        level = 2 if p <= self.veto_alpha else int(change < -self.margin and p <= self.alpha)
        text = f"{name} fell by {-100 * change:.1f} points against the champion, p = {p:.2g}"
        return [Alert(alarm="large_k", level=level, text=text, numbers={"change": change, "p": p})] if level else []


def _guarded(evidence: Evidence) -> tuple[str, list[float], list[float]]:
    """The largest k of the evaluation's guards, and the champion's and candidate's marks on the same problems."""
    for latest in evidence.history[-1:]:
        old, new = latest.champion.parts, latest.candidate.parts if latest.candidate else {}
        names = [name for name in old if name.startswith("pass@") and name in new]
        if names:
            name = max(names, key=lambda name: int(name.removeprefix("pass@")))
            keys = [key for key in old[name] if key in new[name]]
            return name, [old[name][key] for key in keys], [new[name][key] for key in keys]
    return "", [], []


def _paired_fall(before: Sequence[float], now: Sequence[float]) -> float:
    if all(mark in (0.0, 1.0) for mark in (*before, *now)):
        return mcnemar(*discordant(before, now))
    return sign_flip(before, now)


def _pass(groups: Groups, k: int) -> list[float]:
    """pass@k of each problem whose samples are all marked."""
    marks = [[mark for rollout in group if (mark := rollout.info.get("truth")) is not None] for group in groups]
    return [pass_at_k(len(group), sum(mark > 0.5 for mark in group), k) for group in marks if len(group) >= k > 0]
