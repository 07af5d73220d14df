"""One greedy completion: no refinement, the baseline for all other methods.

Idea: take the most likely token at each position.
Survey: decoding, section 5.2.
Paper: none.
Algorithm:
  1. Sample at temperature 0.
Differs: nothing to compare with.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from selfimprove.interfaces import GREEDY, Refinement, Sampling, Session
from selfimprove.records import Prompt, Rollout
from selfimprove.registry import register


@register("greedy")
@dataclass
class Greedy(Refinement):
    single: ClassVar[Sampling | None] = GREEDY

    async def answer(self, prompt: Prompt, session: Session) -> Rollout:
        [reply] = await session.attempts(prompt, 1, GREEDY)
        return reply
