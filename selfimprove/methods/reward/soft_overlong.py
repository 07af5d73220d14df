"""A penalty for completions near the length limit, which rises from 0 to 1.

Idea: punishing truncated completions alone gives no direction; a penalty that rises before the limit teaches the model
  to write shorter completions.
Survey: reward shaping, section 4.3.2.
Paper: arXiv:2503.14476 (DAPO), Yu et al., 2025, equation 13.
Algorithm:
  1. L is the length, M the `max_length`, C the `margin`.
  2. The reward is 0 for L <= M - C, then (M - C - L) / C, which is -1 at L = M, and -1 beyond.
Differs: the paper counts tokens. `unit: tokens` uses the counts of the engine; completions drawn during training have
  none. The default counts characters, which are tokens on the tiny model. Sizes are our choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from selfimprove.errors import RecipeError
from selfimprove.interfaces import Context, Reward
from selfimprove.records import Rollout
from selfimprove.registry import register


@register("soft_overlong", paper="2503.14476")
@dataclass
class SoftOverlong(Reward):
    max_length: int = 512
    """Length from which on the penalty is 1."""
    margin: int = 128
    """Length of the slope before max_length; 0 makes the penalty a step."""
    unit: str = "characters"
    """Unit of length: `characters` or `tokens`."""

    def __post_init__(self) -> None:
        if self.unit not in ("characters", "tokens"):
            raise RecipeError(f"reward.soft_overlong.unit is {self.unit!r}; it must be characters or tokens")
        if not 0 <= self.margin <= self.max_length:
            raise RecipeError("reward.soft_overlong needs 0 <= margin <= max_length")

    def rate(self, groups: Sequence[Sequence[Rollout]], context: Context) -> list[list[float | None]]:
        return [[self._penalty(self._length(rollout)) for rollout in group] for group in groups]

    def _length(self, rollout: Rollout) -> float:
        if self.unit == "characters":
            return len(rollout.text)
        if rollout.logprobs is None:
            raise RecipeError("reward.soft_overlong: these completions have no token counts; use unit: characters")
        return rollout.logprobs["count"]

    def _penalty(self, length: float) -> float:
        over = length - (self.max_length - self.margin)
        if over <= 0:
            return 0.0
        return -min(1.0, over / self.margin) if self.margin else -1.0
