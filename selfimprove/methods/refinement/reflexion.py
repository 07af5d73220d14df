"""After each failed trial the model writes down what went wrong, and its next trial sees these lessons.

Idea: a lesson in words carries more than the bare fact of failure, and it needs no training.
Survey: feedback and memory, section 5.3.
Paper: arXiv:2303.11366 (Reflexion), Shinn et al., 2023.
Algorithm:
  1. Draw an attempt.
  2. Evaluate it by `signal`: the model as judge, the task's `calculator` on its sums, or its public `tests`.
  3. If nothing is wrong, it is the answer. Else write a lesson in the role `reflect`, which sees the attempt and
     what is wrong with it, and keep the last `memory` lessons.
  4. Draw another attempt in the role `retry`, which sees the lessons; without any it is a plain sample. Repeat from
     2, `trials` attempts in all; the last one is the answer.
Differs: the paper's agents act in environments that tell success; here a problem ends with its answer, so memory
  lasts for one problem. With `signal: judge` nothing from outside comes in, and it does not do more than self_refine.
"""

from __future__ import annotations

from dataclasses import dataclass

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Given
from selfimprove.inference.feedback import SIGNALS, Check
from selfimprove.interfaces import Refinement, Sampling, Session
from selfimprove.needs import Needs
from selfimprove.records import Prompt, Rollout
from selfimprove.registry import register
from selfimprove.text import beside


@register("reflexion", paper="2303.11366")
@dataclass
class Reflexion(Refinement):
    trials: int = bounded(3, 1)
    """Most attempts."""
    memory: int = bounded(3, 0)
    """Lessons that an attempt sees, the last ones; 0 makes all trials independent."""
    signal: str = "judge"
    """What evaluates an attempt: `judge`, `calculator` or `tests`."""
    checks: int = bounded(8, 1)
    """Most sums of an attempt that the calculator works out."""
    temperature: float = bounded(0.7, 0, 100)
    """Sampling temperature of attempts and lessons."""

    def __post_init__(self) -> None:
        self._check().known("reflexion.signal", SIGNALS)

    def _check(self) -> Check:
        return Check(self.signal, self.checks)

    def needs(self) -> Needs:
        return Needs(roles=("reflect", "retry") if self.memory else ()) + self._check().needs()

    def cost(self, given: Given) -> Cost:
        again = self._check().cost(given.draw()) + given.draw(2 if self.memory else 1)
        return given.attempt + (self.trials - 1) * again

    async def answer(self, prompt: Prompt, session: Session) -> Rollout:
        sampling, lessons = Sampling(temperature=self.temperature), list[str]()
        [attempt] = await session.attempts(prompt, 1, sampling)
        for _ in range(self.trials - 1):
            faults = await self._check().faults(prompt, attempt, session)
            if not faults:
                break
            if self.memory:
                lessons = [*lessons, await self._lesson(prompt, attempt, faults, session)][-self.memory :]
            session.best = attempt = await self._again(prompt, lessons, session)
        return attempt

    async def _lesson(self, prompt: Prompt, attempt: Rollout, faults: str, session: Session) -> str:
        words = beside(__name__, "reflexion_reflect.txt")
        asked = session.words("reflect", prompt, attempt.text, faults, otherwise=words)
        [lesson] = await session.draw(asked, 1, Sampling(temperature=self.temperature), role="reflect")
        return lesson.text

    async def _again(self, prompt: Prompt, lessons: list[str], session: Session) -> Rollout:
        sampling = Sampling(temperature=self.temperature)
        if not lessons:
            return (await session.draw(prompt, 1, sampling))[0]
        words = beside(__name__, "reflexion_retry.txt")
        asked = session.words("retry", prompt, "\n\n".join(lessons), otherwise=words)
        return (await session.draw(asked, 1, sampling, role="retry"))[0]
