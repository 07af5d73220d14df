"""Use every answer to a problem as a weighted label, and penalize problems without agreement.

Idea: the majority is often wrong, so no single answer is trusted. Each answer is a label, weighted by its frequency,
  and if the model does not agree with itself on a problem, all completions of it become less likely.
Survey: consensus rewards, section 4.3.2.
Paper: arXiv:2510.02172 (RESTRAIN), Yu et al., 2025.
Algorithm:
  1. f_j is the share of the n completions with answer j; completions without an answer count in n.
  2. With answer j as the label, the advantage of completion i is 1[a_i = a_j], standardized in its group (Bessel's
     standard deviation).
  3. The reward is the mean of these over the answers, with weights proportional to exp(-(f_j - centre)^2 / 2 width^2).
  4. If the share of the most common answer is below `min_agreement`, all completions get -penalty instead.
Differs: the weight per problem that the paper computes once with the start model is left out. No code is published, and
  all constants are our choice. The rewards are advantages: an optimizer that subtracts the group's mean (grpo, rloo)
  cancels the penalty; threshold with min_score above 0, or an optimizer without such a baseline, keeps it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from selfimprove.bounds import bounded
from selfimprove.interfaces import Context, Reward
from selfimprove.measures.votes import agreement, shares, tally
from selfimprove.records import Rollout
from selfimprove.registry import register


@register("restrain", paper="2510.02172")
@dataclass
class Restrain(Reward):
    centre: float = 1.0
    """Share of an answer that gives the largest weight as a label."""
    width: float = bounded(0.4, above=0)
    """Width of the weight around the centre; near 0 only the majority counts."""
    min_agreement: float = bounded(0.25, 0, 1)
    """Smallest share of the most common answer; below it all completions get the penalty."""
    penalty: float = bounded(0.5, 0)
    """Penalty for all completions of a problem without agreement."""

    def rate(self, groups: Sequence[Sequence[Rollout]], context: Context) -> list[list[float | None]]:
        return [self._advantages([context.answer_of(rollout.text) for rollout in group]) for group in groups]

    def _advantages(self, answers: list[str | None]) -> list[float | None]:
        n = len(answers)
        if not tally(answers) or agreement(answers) < self.min_agreement - 1e-9:
            return [-self.penalty] * n
        share = shares(answers)
        weights = self._weights(share)
        scores = []
        for answer in answers:
            parts = (w * _normalised(float(answer == label), share[label], n) for label, w in weights.items())
            scores.append(sum(parts))
        return scores

    def _weights(self, share: dict[str, float]) -> dict[str, float]:
        """The weight of each answer as a label; they sum to 1."""
        exponents = {answer: -((f - self.centre) ** 2) / (2 * self.width**2) for answer, f in share.items()}
        top = max(exponents.values())  # subtracted, so that a small width does not underflow
        raw = {answer: math.exp(exponent - top) for answer, exponent in exponents.items()}
        return {answer: value / sum(raw.values()) for answer, value in raw.items()}


def _normalised(value: float, mean: float, n: int) -> float:
    """The advantage of a 0 or 1 in a group of n with this mean; 0 if all are equal."""
    deviation = math.sqrt(mean * (1 - mean) * n / (n - 1)) if n > 1 and mean < 1 else 0.0
    return (value - mean) / deviation if deviation else 0.0
