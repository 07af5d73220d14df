"""The task's own marking rule.

Idea: 1 for a right answer, 0 for a wrong one, by the reference answer.
Survey: verifiable rewards, section 4.3.2.
Paper: none.
Algorithm:
  1. Mark each completion with the task's rule.
  2. None if the reference itself cannot be read.
Differs: nothing to compare with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from selfimprove.interfaces import Context, Reward
from selfimprove.records import Rollout
from selfimprove.registry import register


@register("verifier")
@dataclass
class Verifier(Reward):
    reads_answers: ClassVar[bool] = True

    def rate(self, groups: Sequence[Sequence[Rollout]], context: Context) -> list[list[float | None]]:
        return [[context.verify(rollout.prompt, rollout.text) for rollout in group] for group in groups]
