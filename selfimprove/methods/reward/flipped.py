"""The inverted mark of the task's rule: a control that must do harm.

Idea: if a loop gains under a reward that prefers wrong answers, the gain does not come from the reward; and a gate or
  an alarm that lets such a round pass does not work.
Survey: spurious rewards, section 7.3.
Paper: arXiv:2506.10947 (Spurious Rewards), Shao et al., 2025: the incorrect reward.
Algorithm:
  1. Mark each completion with the task's rule; the reward is 1 minus the mark.
  2. None if the reference itself cannot be read.
Differs: the paper rewards agreement with one wrong label per problem; here every wrong answer gets the same reward.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from selfimprove.interfaces import Context, Reward
from selfimprove.records import Rollout
from selfimprove.registry import register


@register("flipped", paper="2506.10947")
@dataclass
class Flipped(Reward):
    reads_answers: ClassVar[bool] = True

    def rate(self, groups: Sequence[Sequence[Rollout]], context: Context) -> list[list[float | None]]:
        marks = [[context.verify(rollout.prompt, rollout.text) for rollout in group] for group in groups]
        return [[None if mark is None else 1.0 - mark for mark in group] for group in marks]
