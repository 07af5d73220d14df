"""Reward a completion that has the required form.

Idea: a small separate reward teaches a form that the marking rule can read within a few steps.
Survey: verifiable rewards, section 4.3.2.
Paper: arXiv:2501.12948 (DeepSeek-R1), DeepSeek-AI, 2025: the format reward.
Algorithm:
  1. With `pattern`, the reward is 1 if the regular expression matches the whole text; `.` also matches line ends.
  2. Without `pattern`, it is 1 if the task can read a final answer.
  3. 0 otherwise.
Differs: the paper's form is reasoning and answer in tags: pattern `<think>.*</think>.*`. Use it with a small weight
  beside a reward for correctness; alone it accepts any answer of the right form.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from selfimprove.errors import RecipeError
from selfimprove.interfaces import Context, Reward
from selfimprove.records import Rollout
from selfimprove.registry import register


@register("format", paper="2501.12948")
@dataclass
class Format(Reward):
    pattern: str | None = None
    """Python regular expression for the whole completion; null asks for a final answer that the task can read."""

    def __post_init__(self) -> None:
        try:
            re.compile(self.pattern or "")
        except re.error as error:
            raise RecipeError(f"reward.format.pattern is not a regular expression: {error}") from error

    def rate(self, groups: Sequence[Sequence[Rollout]], context: Context) -> list[list[float | None]]:
        return [[float(self._fits(rollout.text, context)) for rollout in group] for group in groups]

    def _fits(self, text: str, context: Context) -> bool:
        if self.pattern is None:
            return context.answer_of(text) is not None
        return re.fullmatch(self.pattern, text, re.DOTALL) is not None
