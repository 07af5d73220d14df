"""Minus the entropy of the model's next-token distributions along a completion: confidence as a reward.

Idea: reinforce the completions in which the model is most certain; no reference answer is needed.
Survey: confidence rewards, section 4.3.2.
Paper: arXiv:2505.22660 (RENT), Prabhudesai et al., 2025.
Algorithm:
  1. At each token, H(p) = - sum p log p in nats.
  2. The reward is minus the mean over the completion's tokens, or over the last `last_share` of them; None without
     tokens.
Differs: the paper finds the strongest correlation with accuracy for tokens near the end; the share is our choice, and
  the default 1 uses all tokens.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Given
from selfimprove.interfaces import Context, Reward
from selfimprove.needs import Needs
from selfimprove.records import Rollout
from selfimprove.registry import register


@register("negative_entropy", paper="2505.22660")
@dataclass
class NegativeEntropy(Reward):
    last_share: float = bounded(1.0, high=1, above=0)
    """Share of the tokens, counted from the end, in the mean."""

    def needs(self) -> Needs:
        return Needs(statistics=("entropy",))

    def cost(self, given: Given) -> Cost:
        return Cost(scored=given.flow.records)

    def rate(self, groups: Sequence[Sequence[Rollout]], context: Context) -> list[list[float | None]]:
        rows = iter(context.policy.logprobs_of([rollout for group in groups for rollout in group], "entropy"))
        return [[self._of(next(rows)) for _ in group] for group in groups]

    def _of(self, entropies: list[float]) -> float | None:
        kept = entropies[len(entropies) - math.ceil(self.last_share * len(entropies) - 1e-9) :]
        return -sum(kept) / len(kept) if kept else None
