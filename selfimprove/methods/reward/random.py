"""A coin flip: the control that every method must beat.

Idea: if a loop improves under a reward without information, the gain is not due to the reward.
Survey: spurious rewards, section 7.3.
Paper: arXiv:2506.10947 (Spurious Rewards), Shao et al., 2025.
Algorithm:
  1. The reward of a completion is 1 with probability `share`, else 0. It is a function of the round's seed and of the
     completion with its prompt, so that one that is rated again gets the same.
  2. The second one of equal completions in a call has a coin of its own, the third as well.
Differs: none known.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from selfimprove.bounds import bounded
from selfimprove.interfaces import Context, Reward
from selfimprove.records import Rollout, digest
from selfimprove.registry import register


@register("random", paper="2506.10947")
@dataclass
class Random(Reward):
    share: float = bounded(0.5, 0, 1)
    """Probability of a 1."""

    def rate(self, groups: Sequence[Sequence[Rollout]], context: Context) -> list[list[float | None]]:
        seen = Counter[str]()

        def coin(rollout: Rollout) -> float:
            said = digest([context.seed, rollout.prompt.prompt, rollout.prompt.key, rollout.completion])
            seen[said] += 1
            return float(int(digest([said, seen[said]])[:13], 16) < self.share * 16**13)

        return [[coin(rollout) for rollout in group] for group in groups]
