"""A vote weighted by how sure the model was of the numbers in its reasoning, the later ones more.

Idea: a chain of reasoning stands on its intermediate results; the words around them say little.
Survey: sampling and voting, section 5.2.
Paper: arXiv:2502.14634 (CER: Confidence Enhanced Reasoning), Razghandi et al., 2025.
Algorithm:
  1. Draw `samples` completions at `temperature`.
  2. The confidence of a number in a completion is the product of the probabilities of its tokens, given all before.
  3. That of a completion with the numbers 1 to n is the weighted mean (1 c1 + ... + n cn) / (1 + ... + n).
  4. Take the answer with the largest sum of confidences. A completion without numbers does not count.
Differs: the confidences are worked out by a forward pass for each number, at most the last `numbers` of a completion;
  the paper reads them off while drawing. For questions without numbers the paper takes proper nouns; not built. Its
  authors' code divides the product by the number of tokens, which the paper does not.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Given
from selfimprove.inference.ballots import candidate_of, winner
from selfimprove.interfaces import Refinement, Sampling, Session
from selfimprove.needs import Needs
from selfimprove.records import Prompt, Rollout
from selfimprove.registry import register
from selfimprove.text import prefilled

NUMBER = re.compile(r"\d+(?:[.,]\d+)*")


@register("cer", paper="2502.14634")
@dataclass
class Cer(Refinement):
    samples: int = bounded(8, 1)
    """Completions per prompt."""
    temperature: float = bounded(0.7, 0, 100)
    """Sampling temperature."""
    numbers: int = bounded(8, 1)
    """Most numbers of a completion that count, the last ones."""

    def needs(self) -> Needs:
        return Needs(statistics=("logprob",))

    def cost(self, given: Given) -> Cost:
        return self.samples * (given.attempt + Cost(scored=self.numbers))

    async def answer(self, prompt: Prompt, session: Session) -> Rollout:
        drawn = await session.attempts(prompt, self.samples, Sampling(temperature=self.temperature))
        said = [candidate_of(one, session.answer_of(one)) for one in drawn]
        session.best = drawn[winner(said)]
        asked = [_numbers(prompt, one, self.numbers) for one in drawn]
        rows = iter(await session.logprobs_of([number for some in asked for number in some]))
        sure = [_weighted([math.exp(math.fsum(next(rows))) for _ in some]) for some in asked]
        if not any(sure):
            return session.best
        return drawn[winner([replace(one, score=score) for one, score in zip(said, sure, strict=True)], sure)]


def _numbers(prompt: Prompt, rollout: Rollout, most: int) -> list[Rollout]:
    """The last numbers of a completion, each as a completion of what stands before it."""
    text, message = str(rollout.text), rollout.completion[-1]
    return [
        Rollout(
            prompt=prefilled(prompt, text[: found.start()], message),
            completion=[{"role": "assistant", "content": found[0]}],
            info={"finish_reason": "length"},  # no end token belongs to it
        )
        for found in [*NUMBER.finditer(text)][-most:]
    ]


def _weighted(confidences: Sequence[float]) -> float:
    """Their mean with the weights 1, 2, ..., n; 0 of none."""
    whole = len(confidences) * (len(confidences) + 1) / 2
    return math.fsum(place * one for place, one in enumerate(confidences, 1)) / max(1.0, whole)
