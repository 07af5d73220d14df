"""A calculator or tests say what is wrong with an attempt, and the model corrects it.

Idea: a model that does not see its own mistakes may still use the word of a tool that does.
Survey: tools and feedback from outside, section 5.3.
Paper: arXiv:2305.11738 (CRITIC), Gou et al., 2023.
Algorithm:
  1. Draw an attempt.
  2. Ask the tool. `calculator` works out the sums that the attempt states with a result, at most `checks` of them;
     `tests` runs its program on public tests in the sandbox.
  3. If the tool finds nothing wrong, the attempt is the answer. Else the model writes it anew in the role `repair`,
     which sees the attempt and what the tool said.
  4. Repeat from 2, `rounds` times at most, or until two attempts in a row have the same answer.
Differs: the paper lets the model write the queries and a critique that quotes the replies; here the attempt's own
  sums are the queries, and the replies are shown as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Given
from selfimprove.inference.feedback import TOOLS, Check, repaired
from selfimprove.interfaces import Refinement, Sampling, Session
from selfimprove.needs import Needs
from selfimprove.records import Prompt, Rollout
from selfimprove.registry import register


@register("critic", paper="2305.11738")
@dataclass
class Critic(Refinement):
    tool: str = "calculator"
    """The task's tool that checks: `calculator` or `tests`."""
    rounds: int = bounded(2, 1)
    """Most corrections."""
    checks: int = bounded(8, 1)
    """Most sums of an attempt that the calculator works out."""
    temperature: float = bounded(0.7, 0, 100)
    """Sampling temperature."""

    def __post_init__(self) -> None:
        self._check().known("critic.tool", TOOLS)

    def _check(self) -> Check:
        return Check(self.tool, self.checks)

    def needs(self) -> Needs:
        return Needs(roles=("repair",)) + self._check().needs()

    def cost(self, given: Given) -> Cost:
        return given.attempt + self.rounds * (given.draw() + self._check().cost(given.draw()))

    async def answer(self, prompt: Prompt, session: Session) -> Rollout:
        sampling = Sampling(temperature=self.temperature)
        [attempt] = await session.attempts(prompt, 1, sampling)
        for _ in range(self.rounds):
            faults = await self._check().faults(prompt, attempt, session)
            if not faults:
                break
            before = session.answer_of(attempt)
            session.best = attempt = await repaired(prompt, attempt.text, faults, session, sampling)
            if before is not None and session.answer_of(attempt) == before:
                break
        return attempt
