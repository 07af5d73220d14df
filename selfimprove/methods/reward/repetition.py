"""A penalty for repeated n-grams within a completion.

Idea: repetition is the cheapest way to satisfy a reward that favours length.
Survey: reward shaping, section 4.3.2; reward hacking, section 7.3.
Paper: arXiv:2502.03373 (Demystifying Long Chain-of-Thought Reasoning), Yeo et al., 2025, appendix C.2.
Algorithm:
  1. The share of repetitions among a completion's n-grams is 1 - distinct / all.
  2. The reward is minus that share; 0 without n-grams.
Differs: the formula is that of TRL's repetition reward, over words instead of tokens; in a text without spaces each
  character counts as a word. The paper applies the penalty to the repeated tokens themselves.
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
