"""The model first says which principles a problem rests on, and solves it with these in view.

Idea: details lead astray; the principle behind a problem is easier to recall than its solution is to find.
Survey: planning and decomposition, section 5.3.
Paper: arXiv:2310.06117 (Step-Back Prompting), Zheng et al., 2023.
Algorithm:
  1. Draw the principles in the role `abstract`.
  2. Draw `samples` solutions in the role `ground`, which sees the problem and the principles.
  3. Answer as self_consistency does.
Differs: the paper asks a step-back question and answers it, with worked examples; here one completion names and
  states the principles.
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


@register("step_back", paper="2310.06117")
@dataclass
class StepBack(Refinement):
    samples: int = bounded(1, 1)
    """Solutions."""
    temperature: float = bounded(0.7, 0, 100)
    """Sampling temperature of the solutions; the principles are drawn greedily."""

    def needs(self) -> Needs:
        return Needs(roles=("abstract", "ground"))

    def cost(self, given: Given) -> Cost:
        return given.draw(1 + self.samples)

    async def answer(self, prompt: Prompt, session: Session) -> Rollout:
        asked = session.words("abstract", prompt, otherwise=beside(__name__, "step_back_abstract.txt"))
        [principles] = await session.draw(asked, 1, GREEDY, role="abstract")
        words = beside(__name__, "step_back_ground.txt")
        asked = session.words("ground", prompt, principles.text, otherwise=words)
        drawn = await session.draw(asked, self.samples, Sampling(temperature=self.temperature), role="ground")
        return drawn[winner(await candidates_of(session, drawn))]
