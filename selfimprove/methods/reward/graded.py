"""Three levels of reward instead of two: right, wrong with a readable answer, and unreadable.

Idea: where most attempts fail, the step from unreadable text to a readable wrong answer is progress worth rewarding.
Survey: verifiable rewards, section 4.3.2.
Paper: arXiv:2505.13445 (Trust, But Verify), Liu et al., 2025: 1, -0.5 and -1; the same scale in arXiv:2505.03335.
Algorithm:
  1. `right` for a mark of 1 by the task's rule; a mark between 0 and 1 lies in proportion between `wrong` and `right`.
  2. For a mark of 0: `wrong` if the task can read a final answer, else `unreadable`.
  3. None if the reference itself cannot be read.
Differs: the papers' rules give only marks of 0 and 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from selfimprove.errors import RecipeError
from selfimprove.interfaces import Context, Reward
from selfimprove.records import Rollout
from selfimprove.registry import register


@register("graded", paper="2505.13445")
@dataclass
class Graded(Reward):
    reads_answers: ClassVar[bool] = True
    right: float = 1.0
    """Reward of a right answer."""
    wrong: float = -0.5
    """Reward of a wrong answer that can be read."""
    unreadable: float = -1.0
    """Reward of a completion without a final answer."""

    def __post_init__(self) -> None:
        if not self.right >= self.wrong >= self.unreadable:
            raise RecipeError("reward.graded needs right >= wrong >= unreadable")

    def rate(self, groups: Sequence[Sequence[Rollout]], context: Context) -> list[list[float | None]]:
        return [[self._of(rollout, context) for rollout in group] for group in groups]

    def _of(self, rollout: Rollout, context: Context) -> float | None:
        mark = context.verify(rollout.prompt, rollout.text)
        if mark is None:
            return None
        if mark <= 0 and context.answer_of(rollout.text) is None:
            return self.unreadable
        return self.wrong + (self.right - self.wrong) * mark
