"""Attempts are rated, the best and the worst are compared in words, and new attempts follow the advice.

Idea: a number says which answer is better, not why. Put into words, the difference tells a model what to do next, so
  it follows a preference without a step of training.
Survey: feedback and self-correction, section 5.3.
Paper: arXiv:2501.12895 (TPO, test-time preference optimization), Li et al., 2025.
Algorithm:
  1. Draw `samples` attempts and rate each by `value`.
  2. Take the best and the worst of all attempts so far. The role `contrast` says why the one is better than the other
     (the textual loss); the role `advise` makes advice of that (the textual gradient).
  3. Draw `samples` new attempts in the role `repair`, which sees the best attempt and the advice, and rate them.
  4. Repeat from 2, `rounds` times in all, and return the best attempt of all. It ends early if all are worth the same.
Differs: the paper rates by a reward model, here `value: reward.NAME`, or by what a recipe has instead of one. Among its
  settings are two rounds of five samples, our defaults. It reports that small models lack the ability to follow their
  own advice.
"""

from __future__ import annotations

from dataclasses import dataclass

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Given
from selfimprove.inference.feedback import repaired
from selfimprove.inference.worth import Worth
from selfimprove.interfaces import Context, Refinement, Sampling, Session
from selfimprove.needs import Needs
from selfimprove.records import Prompt, Rollout
from selfimprove.registry import register
from selfimprove.text import beside


@register("tpo", paper="2501.12895")
@dataclass
class Tpo(Refinement):
    samples: int = bounded(5, 2)
    """Attempts of a round."""
    rounds: int = bounded(2, 0)
    """Rounds of advice; with 0 the best of the first attempts is the answer."""
    value: str = "judge"
    """Who rates attempts: `judge`, `votes`, `model`, `verifier`, or `reward.NAME`, one of the recipe's."""
    evaluations: int = bounded(1, 1)
    """Judgements of each attempt; one is greedy."""
    temperature: float = bounded(0.7, 0, 100)
    """Sampling temperature of attempts and words."""

    def __post_init__(self) -> None:
        self._worth = Worth(self.value, self.evaluations)
        self._worth.check("tpo.value")

    def needs(self) -> Needs:
        return self._worth.needs() + Needs(roles=("contrast", "advise", "repair") if self.rounds else ())

    def cost(self, given: Given) -> Cost:
        rated = self._worth.cost(given, self.samples)
        return self.samples * given.attempt + rated + self.rounds * (given.draw(self.samples + 2) + rated)

    def fit(self, context: Context) -> dict[str, object]:
        return self._worth.learned(context)

    async def answer(self, prompt: Prompt, session: Session) -> Rollout:
        sampling = Sampling(temperature=self.temperature)
        pool = list[tuple[Rollout, float]]()
        new = await session.attempts(prompt, self.samples, sampling)
        for turn in range(self.rounds + 1):
            known = [one for one, _ in pool]
            pool += zip(new, await self._worth.of(prompt, new, session, known), strict=True)
            ranked = sorted(pool, key=lambda pair: -pair[1])
            (best, high), (worst, low) = ranked[0], ranked[-1]
            session.best = best
            if turn == self.rounds or high == low:
                break
            words = beside(__name__, "tpo_contrast.txt")
            asked = session.words("contrast", prompt, best.text, worst.text, otherwise=words)
            [why] = await session.draw(asked, 1, sampling, role="contrast")
            asked = session.words("advise", prompt, best.text, why.text, otherwise=beside(__name__, "tpo_advise.txt"))
            [advice] = await session.draw(asked, 1, sampling, role="advise")
            new = await session.all(
                [repaired(prompt, best.text, advice.text, session, sampling) for _ in range(self.samples)]
            )
        assert session.best is not None, "there are attempts"
        return session.best
