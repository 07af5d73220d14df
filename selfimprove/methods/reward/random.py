"""A coin flip: the control that every method must beat.

Idea: if a loop improves under a reward without information, the gain is not due to the reward.
Survey: spurious rewards, section 7.3.
Paper: arXiv:2506.10947 (Spurious Rewards), Shao et al., 2025.
Algorithm:
  1. The reward of a completion is 1 with probability `share`, else 0, from the round's seed.
Differs: none known.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from selfimprove.bounds import bounded
from selfimprove.interfaces import Context, Reward
from selfimprove.records import Rollout
from selfimprove.registry import register


@register("random", paper="2506.10947")
@dataclass
class Random(Reward):
    share: float = bounded(0.5, 0, 1)
    """Probability of a 1."""

    def rate(self, groups: Sequence[Sequence[Rollout]], context: Context) -> list[list[float | None]]:
        coin = random.Random(context.seed)
        return [[float(coin.random() < self.share) for _ in group] for group in groups]
