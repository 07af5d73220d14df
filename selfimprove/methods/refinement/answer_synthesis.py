"""A synthesizer reads several answers, reasons about what is right in each, and writes a new one.

Idea: where every sample has a mistake, the right steps may still be there, in different samples. Choosing cannot put
them together.
Survey: sampling and aggregation, section 5.2.
Paper: arXiv:2501.01668 (CoT-based Synthesizer), Zhang et al., 2025.
Algorithm:
  1. Draw `samples` completions at `temperature`.
  2. Draw `syntheses` completions in the role combine. Each shows all of them in an order of its own and asks for an
     analysis before the answer; a single one is greedy.
  3. Take the most frequent answer of the syntheses; if none has an answer, that of the samples.
Differs: the paper trains a small model as the synthesizer, on syntheses of a large one that are right; here the model
  itself does it, or whatever model a recipe gives the role combine. A vote over several orders is ours.
"""

from __future__ import annotations

from dataclasses import dataclass

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Given
from selfimprove.inference.ballots import candidate_of, winner
from selfimprove.interfaces import Refinement, Sampling, Session
from selfimprove.needs import Needs
from selfimprove.records import Prompt, Rollout
from selfimprove.registry import register
from selfimprove.text import beside, listed


@register("answer_synthesis", paper="2501.01668")
@dataclass
class AnswerSynthesis(Refinement):
    samples: int = bounded(5, 1)
    """Completions that the synthesizer sees."""
    temperature: float = bounded(0.7, 0, 100)
    """Sampling temperature of these, and of several syntheses."""
    syntheses: int = bounded(3, 1)
    """Syntheses, which vote."""

    def needs(self) -> Needs:
        return Needs(roles=("combine",))

    def cost(self, given: Given) -> Cost:
        return self.samples * given.attempt + given.draw(self.syntheses)

    async def answer(self, prompt: Prompt, session: Session) -> Rollout:
        drawn = await session.attempts(prompt, self.samples, Sampling(temperature=self.temperature))
        session.best = drawn[winner([candidate_of(one, session.answer_of(one)) for one in drawn])]
        orders = [session.random.sample(drawn, len(drawn)) for _ in range(self.syntheses)]
        made = await session.all([self._synthesis(prompt, order, session) for order in orders])
        said = [candidate_of(one, session.answer_of(one)) for one in made]
        return made[winner(said)] if any(one.answer is not None for one in said) else session.best

    async def _synthesis(self, prompt: Prompt, order: list[Rollout], session: Session) -> Rollout:
        words = listed(beside(__name__, "answer_synthesis.txt"), len(order))
        asked = session.words("combine", prompt, *(one.text for one in order), otherwise=words)
        sampling = Sampling(temperature=self.temperature if self.syntheses > 1 else 0.0)
        [reply] = await session.draw(asked, 1, sampling, role="combine")
        return reply
