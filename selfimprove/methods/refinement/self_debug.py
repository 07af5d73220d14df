"""A program that fails public tests is explained line by line and written anew, until it passes them.

Idea: a run of the program tells what no reading of it does, and explaining it shows where the two part.
Survey: tools and feedback from outside, section 5.3.
Paper: arXiv:2304.05128 (Self-Debug), Chen et al., 2023.
Algorithm:
  1. Draw an attempt.
  2. The tool `tests` runs its program on public tests in the sandbox. If it passes them, the attempt is the answer.
  3. With `explain` the model explains its program in the role `explain`, which sees the program and the tests it
     fails.
  4. The model writes it anew in the role `repair`, which sees the program, the tests and the explanation. Repeat
     from 2, `rounds` times at most.
Differs: the paper takes up to 10 rounds, with examples before each prompt. The mark comes from the problem's other
  tests too, so a program that only passes the public ones is not right.
"""

from __future__ import annotations

from dataclasses import dataclass

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Given
from selfimprove.inference.feedback import Check, repaired
from selfimprove.interfaces import Refinement, Sampling, Session
from selfimprove.needs import Needs
from selfimprove.records import Prompt, Rollout
from selfimprove.registry import register
from selfimprove.text import beside

TESTS = Check("tests")


@register("self_debug", paper="2304.05128")
@dataclass
class SelfDebug(Refinement):
    rounds: int = bounded(3, 1)
    """Most corrections."""
    explain: bool = True
    """Explain the program before it is corrected."""
    temperature: float = bounded(0.7, 0, 100)
    """Sampling temperature."""

    def needs(self) -> Needs:
        return Needs(roles=("repair", *(["explain"] if self.explain else []))) + TESTS.needs()

    def cost(self, given: Given) -> Cost:
        return given.attempt + self.rounds * (TESTS.cost(given.draw()) + given.draw(1 + self.explain))

    async def answer(self, prompt: Prompt, session: Session) -> Rollout:
        sampling = Sampling(temperature=self.temperature)
        [attempt] = await session.attempts(prompt, 1, sampling)
        for _ in range(self.rounds):
            faults = await TESTS.faults(prompt, attempt, session)
            if not faults:
                break
            if self.explain:
                words = beside(__name__, "self_debug_explain.txt")
                asked = session.words("explain", prompt, attempt.text, faults, otherwise=words)
                [said] = await session.draw(asked, 1, sampling, role="explain")
                faults = f"{faults}\n\n{said.text}"
            session.best = attempt = await repaired(prompt, attempt.text, faults, session, sampling)
        return attempt
