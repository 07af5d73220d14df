"""Draw from what the model has learned: its log-probabilities minus those of an earlier checkpoint.

Idea: an amateur makes the obvious mistakes more often than an expert. What the expert says more often than the amateur
  is what it knows better.
Survey: decoding, section 5.2.1.
Paper: arXiv:2309.09117 (Contrastive Decoding Improves Reasoning), O'Brien and Lewis, 2023; arXiv:2210.15097, Li et al.
Algorithm:
  1. Let the `amateur` run in step on the same tokens.
  2. Leave out the tokens less likely than `alpha` times the expert's likeliest.
  3. Of the rest take (1 + `beta`) x the expert's log-probability - `beta` x the amateur's; draw at `temperature`.
Differs: the paper's amateur is a smaller model of the same family; here it is the run's own past, `start`, the
  `champion` or the weights `before`. In round 0 these are the expert itself, and then nothing is changed but step 2.
  The paper's answers are greedy, as they are here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from selfimprove.bounds import bounded
from selfimprove.errors import RecipeError
from selfimprove.interfaces import Refinement, Sampling, Session, Shape
from selfimprove.needs import OTHERS, Needs
from selfimprove.records import Prompt, Rollout
from selfimprove.registry import register


@dataclass(frozen=True)
class Contrast(Shape):
    """The expert's log-probabilities pushed away from those of the policy `amateur`, among its likely tokens."""

    amateur: str
    alpha: float
    beta: float

    @property
    def beside(self) -> tuple[str, ...]:
        return (self.amateur,)

    def apply(self, logprobs: Mapping[str, Any]) -> Any:
        expert, amateur = logprobs[""], logprobs[self.amateur]
        lowest = expert.amax(-1, keepdim=True) + (math.log(self.alpha) if self.alpha else -math.inf)
        pushed = (1 + self.beta) * expert - self.beta * amateur
        return pushed.masked_fill((expert < lowest) | (expert == -math.inf), -math.inf)


@register("contrastive", paper="2309.09117")
@dataclass
class Contrastive(Refinement):
    amateur: str = "start"
    """The policy to push away from: `start`, `champion` or `before`."""
    alpha: float = bounded(0.1, 0, 1)
    """Lowest probability of a token, as a share of the expert's likeliest one's."""
    beta: float = bounded(0.5, 0, 100)
    """Strength of the push; 0 is plain sampling among the likely tokens."""
    temperature: float = bounded(0.0, 0, 100)
    """Sampling temperature; 0 is greedy."""

    def __post_init__(self) -> None:
        if self.amateur not in OTHERS:
            raise RecipeError(f"refinement.contrastive.amateur takes {', '.join(OTHERS)}, not {self.amateur!r}")

    def needs(self) -> Needs:
        return Needs(engine=("shape",), policies=(self.amateur,))

    async def answer(self, prompt: Prompt, session: Session) -> Rollout:
        shape = Contrast(self.amateur, self.alpha, self.beta)
        return (await session.attempts(prompt, 1, Sampling(temperature=self.temperature, shape=shape)))[0]
