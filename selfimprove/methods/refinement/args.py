"""Decode under the pull of a reward: of several blocks of tokens, one is kept by what it is worth.

Idea: instead of training towards a reward, let it decide at answering time, while the model's own probability keeps
  the text fluent.
Survey: decoding, section 5.2.1.
Paper: arXiv:2402.01694 (ARGS), Khanov et al., 2024; by blocks: arXiv:2310.17022 (Controlled Decoding), Mudgal et al.
Algorithm:
  1. Draw `samples` continuations of up to `block` tokens.
  2. Value each beginning with its continuation, and keep one of them with a chance in proportion to
     exp(`weight` x value).
  3. Repeat until the solution ends.
Differs: ARGS adds weight x reward to the score of each candidate token; a reward of a whole recipe is dear, so blocks
  are valued, as in Controlled Decoding, which keeps the best. Because blocks are drawn by the model, the chance in step
  2 approaches the same tilted distribution, and weight 0 is plain sampling.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Given
from selfimprove.inference.paths import ROOT, Steps, best_of
from selfimprove.inference.worth import Worth
from selfimprove.interfaces import Context, Refinement, Session
from selfimprove.needs import Needs
from selfimprove.records import Prompt, Rollout
from selfimprove.registry import register


@register("args", paper="2402.01694")
@dataclass
class Args(Refinement):
    block: int = bounded(16, 1)
    """Tokens of a block."""
    samples: int = bounded(4, 1)
    """Blocks to choose from."""
    weight: float = bounded(4.0, 0, 1e6)
    """Strength of the value; 0 is plain sampling, a large one keeps the best block."""
    value: str = "judge"
    """Who values beginnings: `judge`, `model`, `verifier`, or `reward.NAME` for a reward of the recipe."""
    evaluations: int = bounded(1, 1)
    """Judgements of each beginning; one is greedy."""
    temperature: float = bounded(1.0, 0, 100)
    """Sampling temperature."""

    def __post_init__(self) -> None:
        self._steps = Steps("", self.block)
        self._worth = Worth(self.value, self.evaluations)
        self._worth.check("args.value", ("judge", "model", "verifier"))

    def needs(self) -> Needs:
        return self._worth.needs()

    def cost(self, given: Given) -> Cost:
        later = (math.ceil(given.length / self.block) - 1) * self.samples
        blocks = self._steps.cost(given, self.samples, later)
        return blocks + self._worth.cost(given, self.samples + later)

    def fit(self, context: Context) -> dict[str, Any]:
        return self._worth.learned(context)

    async def answer(self, prompt: Prompt, session: Session) -> Rollout:
        path = ROOT
        while not path.whole:
            grown = await self._steps.draw(prompt, path, self.samples, session, self.temperature)
            chances = [1.0] * len(grown)
            if len(grown) > 1 and self.weight:
                said = [one.solution for one in grown if one.solution]
                values = await self._worth.of(prompt, said, session)
                chances = [math.exp(self.weight * (value - max(values))) for value in values]
            [path] = session.random.choices(grown, chances)
            session.best = best_of([(path, 0.0)])
        return best_of([(path, 0.0)])
