"""Sample among the tokens whose logits are within some standard deviations of the highest one.

Idea: most logits of a vocabulary are noise with a normal distribution, and the few informative ones lie above it. A
  limit on the logits themselves separates the two, whatever the temperature is.
Survey: decoding, section 5.2.1.
Paper: arXiv:2411.07641 (Top-n-sigma), Tang et al., 2024.
Algorithm:
  1. Keep the tokens with a logit of at least max - `n` x sigma; sigma is the standard deviation of all logits.
  2. Divide by `temperature` and draw one of them.
Differs: nothing. On a vocabulary of some 60 characters a few logits make up most of sigma: compare several values of n.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from selfimprove.bounds import bounded
from selfimprove.interfaces import Refinement, Sampling, Session, Shape
from selfimprove.needs import Needs
from selfimprove.records import Prompt, Rollout
from selfimprove.registry import register


@dataclass(frozen=True)
class Near(Shape):
    """Excludes tokens far below the likeliest one; `n` is in standard deviations of the logits."""

    n: float

    def apply(self, logprobs: Mapping[str, Any]) -> Any:
        own = logprobs[""]
        lowest = own.amax(-1, keepdim=True) - self.n * own.std(-1, correction=0, keepdim=True)
        return own.masked_fill(own < lowest, float("-inf"))


@register("top_n_sigma", paper="2411.07641")
@dataclass
class TopNSigma(Refinement):
    n: float = bounded(1.0, 0, 100)
    """Standard deviations of the logits below the highest one."""
    temperature: float = bounded(1.0, 0, 100)
    """Sampling temperature."""

    def needs(self) -> Needs:
        return Needs(engine=("shape",))

    async def answer(self, prompt: Prompt, session: Session) -> Rollout:
        sampling = Sampling(temperature=self.temperature, shape=Near(self.n))
        return (await session.attempts(prompt, 1, sampling))[0]
