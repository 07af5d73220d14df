"""A second attempt that sees the first one is the answer: what loops that train corrections are examined by.

Idea: a model that is trained to correct itself is as good as its last attempt. An exam of first attempts would not see
what it has learned.
Survey: self-correction, section 2.4.2; inference, section 5.
Paper: arXiv:2409.12917 (SCoRe), Kumar et al., 2024: accuracy at the second turn.
Algorithm:
  1. Draw an attempt.
  2. Draw another one in the role `refine`, which shows the first, and answer with it; repeat `turns` times.
  3. With `critique` the model first judges the attempt in the role `judge`. An attempt that it calls right is the
     answer; else the role `refine` shows both, as in the acquisition reflect_retry.
Differs: the paper shows the first attempt in a conversation, here the prompt of the role shows it. Its attempts are
  greedy, as they are here unless `temperature` is set.
"""

from __future__ import annotations

from dataclasses import dataclass

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Given
from selfimprove.inference.revise import judged, revised
from selfimprove.interfaces import Refinement, Sampling, Session
from selfimprove.needs import Needs
from selfimprove.records import Prompt, Rollout
from selfimprove.registry import register


@register("revise", paper="2409.12917")
@dataclass
class Revise(Refinement):
    turns: int = bounded(1, 1)
    """Attempts after the first one; each sees the one before it."""
    temperature: float = bounded(0.0, 0, 100)
    """Sampling temperature of all attempts; 0 is greedy."""

    critique: bool = False
    """Draw a critique of each attempt, and another attempt only if it does not call this one right."""

    def needs(self) -> Needs:
        return Needs(roles=("refine", *(["judge"] if self.critique else [])))

    def cost(self, given: Given) -> Cost:
        return given.attempt + given.draw(self.turns * (1 + self.critique))

    async def answer(self, prompt: Prompt, session: Session) -> Rollout:
        sampling = Sampling(temperature=self.temperature)
        [attempt] = await session.attempts(prompt, 1, sampling)
        for _ in range(self.turns):
            shown = attempt.text
            if self.critique:
                said, word = await judged(prompt, shown, session, sampling)
                if word is not None and word > 0.5:
                    break
                shown = f"{shown}\n{said.text}"
            [attempt] = await revised(prompt, shown, session, sampling)
            session.best = attempt
        return attempt
