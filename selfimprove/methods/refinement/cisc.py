"""A vote weighted by confidences that are compared within the problem only.

Idea: which of several answers to one problem is surer says more than how sure a model is on the whole.
Survey: sampling and voting, section 5.2.
Paper: arXiv:2502.06233 (CISC: Confidence Improves Self-Consistency), Taubenfeld et al., 2025.
Algorithm:
  1. Draw `samples` completions at `temperature`.
  2. The confidence of one is its probability per token (`confidence: logprob`); or P(True), the probability of yes
     against no as the next token after the question whether it is correct (`p_true`); or the judgement of the task's
     role judge (`judge`).
  3. Weights are the softmax of the confidences of this problem at `softmax_temperature`; the answer with the largest
     sum wins.
  4. With `tune` above 0, `fit` takes the softmax temperature of `TEMPERATURES` that is right most often on so many
     selection problems. It reports `cisc/wqd`: how often a right completion is surer than a wrong one of its problem.
     At 0.5 the confidence knows nothing.
Differs: the paper also asks for a confidence in words, from 0 to 100. The question of `p_true` is ours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Given
from selfimprove.errors import RecipeError
from selfimprove.inference.ballots import Candidate, candidate_of, shares, winner
from selfimprove.inference.worth import UNKNOWN, Worth
from selfimprove.interfaces import Context, Refinement, Sampling, Session
from selfimprove.needs import Needs
from selfimprove.records import Prompt, Rollout
from selfimprove.registry import nearest, register
from selfimprove.text import beside

CONFIDENCES = ("logprob", "p_true", "judge")
TEMPERATURES = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
RIVALS = 20


@register("cisc", paper="2502.06233")
@dataclass
class Cisc(Refinement):
    samples: int = bounded(16, 1)
    """Completions per prompt."""
    temperature: float = bounded(0.7, 0, 100)
    """Sampling temperature."""
    confidence: str = "logprob"
    """What weighs: the completion's probability per token (`logprob`), `p_true`, or the `judge`."""
    softmax_temperature: float = bounded(0.5, above=0, high=1e9)
    """How little confidences count: a large one is the plain vote, a small one takes the surest."""
    tune: int = bounded(0, 0)
    """Selection problems on which the softmax temperature is chosen; 0 takes the option."""

    def __post_init__(self) -> None:
        if self.confidence not in CONFIDENCES:
            near = nearest(self.confidence, CONFIDENCES)
            raise RecipeError(f"refinement.cisc.confidence cannot be {self.confidence!r}.{near}")

    def needs(self) -> Needs:
        known = {"p_true": Needs(roles=("sure",), engine=("tops",)), "judge": Needs(roles=("judge",))}
        return known.get(self.confidence, Needs())

    def cost(self, given: Given) -> Cost:
        asked = {"p_true": given.draw(self.samples, 1), "judge": given.draw(self.samples)}
        return self.samples * given.attempt + asked.get(self.confidence, Cost())

    def fit_cost(self, given: Given) -> Cost:
        return self.tune * self.cost(given)

    def fit(self, context: Context) -> dict[str, Any]:
        if not self.tune:
            return {}
        seen = context.run(self._marked, context.selection(self.tune))
        pairs = [
            (a.score or 0.0, b.score or 0.0)
            for said, marks in seen
            for a, right in zip(said, marks, strict=True)
            for b, other in zip(said, marks, strict=True)
            if right > other
        ]
        if pairs:
            context.log.metric("cisc/wqd", sum((a > b) + (a == b) / 2 for a, b in pairs) / len(pairs))
        right = {one: sum(marks[self._choose(said, one)] for said, marks in seen) for one in TEMPERATURES}
        return {"softmax_temperature": max(TEMPERATURES, key=lambda one: (right[one], one))}

    async def answer(self, prompt: Prompt, session: Session) -> Rollout:
        drawn, said = await self._sampled(prompt, session)
        return drawn[self._choose(said, session.state.get("softmax_temperature", self.softmax_temperature))]

    async def _sampled(self, prompt: Prompt, session: Session) -> tuple[list[Rollout], list[Candidate]]:
        drawn = await session.attempts(prompt, self.samples, Sampling(temperature=self.temperature))
        said = [candidate_of(one, session.answer_of(one)) for one in drawn]
        session.best = drawn[winner(said)]
        match self.confidence:
            case "p_true":
                sure = await session.all([_p_true(prompt, one, session) for one in drawn])
            case "judge":
                sure = await Worth("judge").of(prompt, drawn, session)
            case _:
                sure = [math.exp(one.mean_logprob) for one in said]
        return drawn, [replace(one, score=score) for one, score in zip(said, sure, strict=True)]

    async def _marked(self, prompt: Prompt, session: Session) -> tuple[list[Candidate], list[float]]:
        """The candidates of a selection problem, with their marks."""
        drawn, said = await self._sampled(prompt, session)
        return said, [session.mark(one) or 0.0 for one in drawn]

    def _choose(self, candidates: Sequence[Candidate], temperature: float) -> int:
        return winner(candidates, shares([one.score or 0.0 for one in candidates], temperature))


async def _p_true(prompt: Prompt, attempt: Rollout, session: Session) -> float:
    """The probability of yes against no as the next token after the question; `UNKNOWN` if neither is likely."""
    asked = session.words("sure", prompt, attempt.text, otherwise=beside(__name__, "cisc.txt"))
    tops = await session.tops(asked, RIVALS, role="sure")
    yes, no = (
        math.fsum(
            math.exp(logprob)
            for text, logprob in tops.items()
            if text.strip() and word.startswith(text.strip().lower())
        )
        for word in ("yes", "no")
    )
    return yes / (yes + no) if yes + no else UNKNOWN
