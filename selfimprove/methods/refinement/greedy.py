"""One greedy completion: no refinement, the baseline of every other method.

Idea: take the likeliest token at each position.
Survey: decoding, section 5.2.
Paper: none.
Algorithm:
  1. Sample at temperature 0.
Differs: nothing to compare with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from selfimprove.interfaces import GREEDY, Policy, Refinement
from selfimprove.records import Prompt, Rollout
from selfimprove.registry import register


@register("greedy")
@dataclass
class Greedy(Refinement):
    def answer(self, prompts: Sequence[Prompt], state: dict[str, Any], policy: Policy) -> list[Rollout]:
        return [group[0] for group in policy.sample(prompts, 1, GREEDY)]
