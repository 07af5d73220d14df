"""Raised when the entropy of the model's samples collapses.

Idea: a model that has become certain stops exploring, so the next round has nothing to select from.
Survey: model collapse, section 7.1.
Paper: arXiv:2505.22617 (The Entropy Mechanism), Cui et al., 2025: reward is bought with entropy until none is left.
Algorithm:
  1. The entropy of a problem is minus the log-probability of its samples per token, in nats; this is unbiased at
     temperature 1. Compare the mean over problems with round 0.
  2. Level 1: below `share` of round 0, with disjoint 95 % intervals.
  3. Level 2: likewise below `veto_share`, and pass@k of the same samples, with k all samples, fell at `alpha`.
Differs: the paper fits accuracy to entropy; the thresholds are ours. A model that learns its task becomes certain, so
  low entropy alone does not veto. Silent if the engine gives no log-probabilities.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from selfimprove.bounds import bounded
from selfimprove.interfaces import Alarm
from selfimprove.measures.attempts import pass_at_k
from selfimprove.measures.statistics import mean, z_test
from selfimprove.records import Alert
from selfimprove.registry import register
from selfimprove.rounds import Evidence, Groups


@register("entropy", paper="2505.22617")
@dataclass
class Entropy(Alarm):
    share: float = bounded(0.5, 0, 1)
    """Share of round 0's entropy below which level 1 is raised."""
    veto_share: float = bounded(0.25, 0, 1)
    """Share below which level 2 is raised, if pass@k also fell."""
    alpha: float = 0.05
    """One-sided level of the fall of pass@k."""

    def check(self, evidence: Evidence) -> list[Alert]:
        start, now = [mean(_entropies(groups), (0.0, math.inf)) for groups in (evidence.start, evidence.candidate)]
        if not start.n or not now.n or not now.high < start.low:
            return []
        left = now.value / start.value
        tries = min(len(group) for groups in (evidence.start, evidence.candidate) for group in groups)
        before, after = _pass(evidence.start, tries), _pass(evidence.candidate, tries)
        level = 2 if left < self.veto_share and z_test(before, after) <= self.alpha else int(left < self.share)
        text = f"{now.value:.3f} nats per token, {left:.0%} of round 0"
        text += f"; pass@{tries} fell" if level == 2 else ""
        numbers = {"entropy": now.value, "entropy_of_start": start.value}
        return [Alert(alarm="entropy", level=level, text=text, numbers=numbers)] if level else []


def _entropies(groups: Groups) -> list[float]:
    """Nats per token of each problem whose samples have log-probabilities."""
    known = [[rollout.logprobs for rollout in group if rollout.logprobs] for group in groups]
    tokens = [sum(one["count"] for one in group) for group in known]
    return [-sum(one["sum"] for one in group) / n for group, n in zip(known, tokens, strict=True) if n]


def _pass(groups: Groups, k: int) -> list[float]:
    """pass@k of each problem whose samples are all marked."""
    marks = [[mark for rollout in group if (mark := rollout.info.get("truth")) is not None] for group in groups]
    return [pass_at_k(len(group), sum(mark > 0.5 for mark in group), k) for group in marks if len(group) >= k > 0]
