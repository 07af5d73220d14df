"""The model writes a plan, then carries it out; of several plans the answers vote.

Idea: a plan keeps the steps of a long problem apart from the work on each, so fewer of them are left out.
Survey: planning and decomposition, section 5.3.
Paper: arXiv:2305.04091 (Plan-and-Solve), Wang et al., 2023.
Algorithm:
  1. Draw `plans` plans in the role `plan`.
  2. Draw one solution for each in the role `follow`, which sees the problem and the plan.
  3. Answer as self_consistency does.
Differs: the paper asks for plan and solution in one completion; two of them let each role have words, weights or an
  engine of its own. A wrong plan cannot be corrected later, which is why several of them vote.
"""

from __future__ import annotations

from dataclasses import dataclass

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Given
from selfimprove.inference.ballots import candidates_of, winner
from selfimprove.interfaces import Refinement, Sampling, Session
from selfimprove.needs import Needs
from selfimprove.records import Prompt, Rollout
from selfimprove.registry import register
from selfimprove.text import beside


@register("plan_and_solve", paper="2305.04091")
@dataclass
class PlanAndSolve(Refinement):
    plans: int = bounded(1, 1)
    """Plans, each with one solution."""
    temperature: float = bounded(0.7, 0, 100)
    """Sampling temperature of plans and solutions."""

    def needs(self) -> Needs:
        return Needs(roles=("plan", "follow"))

    def cost(self, given: Given) -> Cost:
        return given.draw(2 * self.plans)

    async def answer(self, prompt: Prompt, session: Session) -> Rollout:
        sampling = Sampling(temperature=self.temperature)
        asked = session.words("plan", prompt, otherwise=beside(__name__, "plan_and_solve_plan.txt"))
        plans = await session.draw(asked, self.plans, sampling, role="plan")
        drawn = await session.all([self._followed(prompt, plan.text, session) for plan in plans])
        return drawn[winner(await candidates_of(session, drawn))]

    async def _followed(self, prompt: Prompt, plan: str, session: Session) -> Rollout:
        asked = session.words("follow", prompt, plan, otherwise=beside(__name__, "plan_and_solve_follow.txt"))
        [made] = await session.draw(asked, 1, Sampling(temperature=self.temperature), role="follow")
        session.best = session.best or made
        return made
