"""A vote in small windows that ends with the first window whose answers all agree.

Idea: if a few samples in a row agree, the distribution of answers has little entropy, and more votes change nothing.
Survey: sampling and voting, section 5.2.
Paper: arXiv:2401.10480 (ESC), Li et al., 2024.
Algorithm:
  1. Draw a window of `window` completions.
  2. Stop if all of the window have the same answer, or after `samples` completions; else go on with 1.
  3. Answer as self_consistency does, by the votes of all windows.
Differs: a completion without an answer agrees with nothing. The paper also has a scheme that chooses the size of the
  window and the most samples by the first window of a data set; here they are options, with defaults of our own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Given
from selfimprove.inference.ballots import Candidate, Voting, poll, winner
from selfimprove.interfaces import Refinement, Sampling, Session
from selfimprove.records import Prompt, Rollout
from selfimprove.registry import register


@register("early_stopping_self_consistency", paper="2401.10480")
@dataclass
class EarlyStoppingSelfConsistency(Refinement, Voting):
    samples: int = bounded(16, 1)
    """Most completions per prompt."""
    window: int = bounded(3, 1)
    """Completions that must agree."""
    temperature: float = bounded(0.7, 0, 100)
    """Sampling temperature."""

    def cost(self, given: Given) -> Cost:
        return self.samples * given.attempt

    def sampling(self) -> Sampling:
        return Sampling(temperature=self.temperature)

    def more(self, candidates: Sequence[Candidate]) -> int:
        answers = {one.answer for one in candidates[-self.window :]}
        whole = len(candidates) >= self.window and len(candidates) % self.window == 0
        if whole and len(answers) == 1 and None not in answers:
            return 0
        return min(self.window, self.samples - len(candidates))

    def choose(self, candidates: Sequence[Candidate]) -> int:
        return winner(candidates)

    async def answer(self, prompt: Prompt, session: Session) -> Rollout:
        return await poll(self, prompt, session)
