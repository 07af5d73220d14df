"""Sample at a high temperature among the tokens that are likely enough beside the likeliest one.

Idea: where the model is sure, few tokens should remain, where it is not, many. A limit relative to the likeliest token
  does that, so temperatures above 1 give variety without nonsense.
Survey: decoding, section 5.2.1.
Paper: arXiv:2407.01082 (Min-p sampling), Nguyen et al., 2024.
Algorithm:
  1. Divide the logits by `temperature`.
  2. Keep the tokens with a probability of at least `min_p` times that of the likeliest; draw one of them.
Differs: nothing; the engines have it built in.
"""

from __future__ import annotations

from dataclasses import dataclass

from selfimprove.bounds import bounded
from selfimprove.interfaces import Refinement, Sampling, Session
from selfimprove.records import Prompt, Rollout
from selfimprove.registry import register


@register("min_p", paper="2407.01082")
@dataclass
class MinP(Refinement):
    min_p: float = bounded(0.1, 0, 1)
    """Lowest probability of a token, as a share of the likeliest one's; the paper advises 0.05 to 0.1."""
    temperature: float = bounded(1.0, 0, 100)
    """Sampling temperature."""

    async def answer(self, prompt: Prompt, session: Session) -> Rollout:
        sampling = Sampling(temperature=self.temperature, min_p=self.min_p)
        return (await session.attempts(prompt, 1, sampling))[0]
