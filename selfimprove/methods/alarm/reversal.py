"""Vetoes a candidate that is better at the task and worse beyond it.

Idea: pass@1 can rise while diversity and other kinds of problems get worse; then the model has narrowed, not improved.
Survey: autonomous evaluation, section 6; metric deficiency, section 7.5.
Paper: arXiv:2407.05013 (Progress or Regress?), Wu et al., 2024: self-improvement reversal.
Algorithm:
  1. Test with McNemar's exact test at `alpha` whether the candidate solves more of the same gate problems than the
     champion.
  2. If so, test for a fall of each part `ood/...` with McNemar's test, and of the different right texts per solved
     audit problem with a z-test, with Holm's correction over all of these.
  3. Level 2 if one of them fell at `alpha`.
Differs: the paper has no test. It also uses pass@k, which the alarm `large_k` watches. Levels of difficulty are not
  tested separately, because the gate's score already includes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from selfimprove.interfaces import Alarm
from selfimprove.measures.statistics import discordant, holm, mcnemar, z_test
from selfimprove.records import Alert
from selfimprove.registry import register
from selfimprove.rounds import Evidence, Groups


@register("reversal", paper="2407.05013")
@dataclass
class Reversal(Alarm):
    alpha: float = 0.05
    """One-sided level of the rise, and of all falls together."""

    def check(self, evidence: Evidence) -> list[Alert]:
        latest = evidence.history[-1] if evidence.history else None
        if latest is None or latest.candidate is None:
            return []
        old, new = latest.champion, latest.candidate
        rise = _p(new.scores, old.scores)
        falls = {name: _p(old.parts[name], new.parts[name]) for name in old.parts if name in new.parts}
        falls = {name: p for name, p in falls.items() if name.startswith("ood/")}
        falls["different right solutions"] = z_test(_distinct(evidence.champion), _distinct(evidence.candidate))
        adjusted = dict(zip(falls, holm([*falls.values()]), strict=True))
        fallen = {name: p for name, p in adjusted.items() if p <= self.alpha}
        if rise > self.alpha or not fallen:
            return []
        text = f"more problems are solved (p = {rise:.2g}), but {', '.join(fallen)} fell"
        return [Alert(alarm="reversal", level=2, text=text, numbers={"rise": rise, **fallen})]


def _p(high: Mapping[str, float], low: Mapping[str, float]) -> float:
    """One-sided p that the first marks are higher, on the problems that both have."""
    keys = [key for key in low if key in high]
    return mcnemar(*discordant([high[key] for key in keys], [low[key] for key in keys]))


def _distinct(groups: Groups) -> list[float]:
    """Different right texts divided by samples, for each solved problem."""
    right = [{" ".join(r.text.split()) for r in group if (r.info.get("truth") or 0.0) > 0.5} for group in groups]
    return [len(texts) / len(group) for texts, group in zip(right, groups, strict=True) if texts]
