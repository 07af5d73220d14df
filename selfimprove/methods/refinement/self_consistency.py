"""Sample several answers and take the most frequent one, or the one with the largest sum of weights.

Idea: many ways of reasoning lead to the right answer, while wrong answers differ.
Survey: sampling and voting, section 5.2.
Paper: arXiv:2203.11171 (Self-Consistency), Wang et al., 2022.
Algorithm:
  1. Draw `samples` completions at `temperature`.
  2. Extract the final answers; completions without one do not vote.
  3. Take the most frequent answer; ties go to the larger sum of mean token log-probabilities, then to the first seen.
     With `weights: logprob` a vote counts the completion's probability per token, exp(log-probability / tokens), which
     is the paper's normalized weighted sum.
  4. Return the most likely completion with that answer.
Differs: the paper draws 40; the default here is 16. It finds weights to change little.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Given
from selfimprove.errors import RecipeError
from selfimprove.inference.ballots import Candidate, Voting, poll, winner
from selfimprove.interfaces import Refinement, Sampling, Session
from selfimprove.records import Prompt, Rollout
from selfimprove.registry import nearest, register

WEIGHTS = ("none", "logprob")


@register("self_consistency", paper="2203.11171")
@dataclass
class SelfConsistency(Refinement, Voting):
    samples: int = bounded(16, 1)
    """Completions per prompt."""
    temperature: float = bounded(0.7, 0, 100)
    """Sampling temperature."""
    weights: str = "none"
    """What a vote counts: 1 (`none`), or the probability per token of its completion (`logprob`)."""

    def __post_init__(self) -> None:
        if self.weights not in WEIGHTS:
            near = nearest(self.weights, WEIGHTS)
            raise RecipeError(f"refinement.self_consistency.weights cannot be {self.weights!r}.{near}")

    def cost(self, given: Given) -> Cost:
        return self.samples * given.attempt

    def sampling(self) -> Sampling:
        return Sampling(temperature=self.temperature)

    def more(self, candidates: Sequence[Candidate]) -> int:
        return self.samples - len(candidates)

    def choose(self, candidates: Sequence[Candidate]) -> int:
        weighs = self.weights == "logprob"
        return winner(candidates, [math.exp(one.mean_logprob) for one in candidates] if weighs else None)

    async def answer(self, prompt: Prompt, session: Session) -> Rollout:
        return await poll(self, prompt, session)
