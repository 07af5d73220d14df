"""A penalty for repeated n-grams within a completion.

Idea: saying the same again is the cheapest way to please a reward that likes length.
Survey: reward shaping, section 4.3.2; reward hacking, section 7.3.
Paper: arXiv:2502.03373 (Demystifying Long Chain-of-Thought Reasoning), Yeo et al., 2025, appendix C.2.
Algorithm:
  1. Of a completion's n-grams, 1 - distinct / all are repetitions.
  2. The score is minus that share; 0 where there is no n-gram.
Differs: the formula is that of TRL's repetition reward, over words instead of tokens; a text without spaces counts by
  characters. The paper puts the penalty on the repeated tokens themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from selfimprove.bounds import bounded
from selfimprove.interfaces import Context, Reward
from selfimprove.records import Rollout
from selfimprove.registry import register
from selfimprove.text import ngrams


@register("repetition", paper="2502.03373")
@dataclass
class Repetition(Reward):
    n: int = bounded(3, 1)
    """Words of an n-gram."""

    def rate(self, groups: Sequence[Sequence[Rollout]], context: Context) -> list[list[float | None]]:
        return [[self._penalty(rollout.text) for rollout in group] for group in groups]

    def _penalty(self, text: str) -> float:
        grams = ngrams(text, self.n)
        return len(set(grams)) / len(grams) - 1.0 if grams else 0.0
