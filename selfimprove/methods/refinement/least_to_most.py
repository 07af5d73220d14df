"""The model splits a problem into smaller questions and answers them in order, each with the answers before it.

Idea: a question that builds on answered ones is easy, however many there were. So a model reaches problems with more
  steps than it can do at once.
Survey: planning and decomposition, section 5.3.
Paper: arXiv:2205.10625 (Least-to-Most Prompting), Zhou et al., 2022.
Algorithm:
  1. Draw the smaller questions in the role `split`, one a line; the first `steps` lines count.
  2. Answer them in order in the role `part`, which sees the questions and answers so far and the next question.
  3. Answer the problem in the role `conclude`, which sees all questions and answers.
  4. With `splits` above 1 do so for as many decompositions; answer as self_consistency does.
Differs: the paper shows worked examples for both stages, and its last question is the problem itself.
"""

from __future__ import annotations

from dataclasses import dataclass

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Given
from selfimprove.inference.ballots import candidates_of, winner
from selfimprove.interfaces import GREEDY, Refinement, Sampling, Session
from selfimprove.needs import Needs
from selfimprove.records import Prompt, Rollout
from selfimprove.registry import register
from selfimprove.text import beside


@register("least_to_most", paper="2205.10625")
@dataclass
class LeastToMost(Refinement):
    steps: int = bounded(4, 1)
    """Most smaller questions."""
    splits: int = bounded(1, 1)
    """Decompositions, each with an answer; a wrong one cannot be corrected later, so several may vote."""
    temperature: float = bounded(0.7, 0, 100)
    """Sampling temperature of the decompositions; smaller questions are answered greedily."""

    def needs(self) -> Needs:
        return Needs(roles=("split", "part", "conclude"))

    def cost(self, given: Given) -> Cost:
        return given.draw(self.splits * (2 + self.steps))

    async def answer(self, prompt: Prompt, session: Session) -> Rollout:
        asked = session.words("split", prompt, otherwise=beside(__name__, "least_to_most_split.txt"))
        sampling = Sampling(temperature=self.temperature)
        splits = await session.draw(asked, self.splits, sampling, role="split")
        drawn = await session.all([self._answered(prompt, split.text, session) for split in splits])
        return drawn[winner(await candidates_of(session, drawn))]

    async def _answered(self, prompt: Prompt, split: str, session: Session) -> Rollout:
        known = ""
        for question in [line for line in map(str.strip, split.splitlines()) if line][: self.steps]:
            asked = session.words("part", prompt, known, question, otherwise=beside(__name__, "least_to_most_part.txt"))
            [said] = await session.draw(asked, 1, GREEDY, role="part")
            known = f"{known}\n{question}\n{said.text}".lstrip("\n")
        asked = session.words("conclude", prompt, known, otherwise=beside(__name__, "least_to_most_conclude.txt"))
        [made] = await session.draw(asked, 1, GREEDY, role="conclude")
        session.best = session.best or made
        return made
