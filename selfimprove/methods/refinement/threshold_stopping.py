"""A vote that ends when an answer has a fixed share of the votes, or can no longer be overtaken.

Idea: the simplest rule of adaptive stopping, and the baseline of those that reckon with probabilities.
Survey: sampling and voting, section 5.2.
Paper: none.
Algorithm:
  1. Draw `portion` completions.
  2. Stop if the leading answer has at least `share` of all completions and there are at least `least`; or if it leads
     by more votes than are left; or after `samples` completions. Else go on with 1.
  3. Answer as self_consistency does.
Differs: nothing to compare with. With `share` above 1 only a settled vote ends early, and the answer is always that of
  the whole vote.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Given
from selfimprove.inference.ballots import Candidate, Voting, leaders, poll, winner
from selfimprove.interfaces import Refinement, Sampling, Session
from selfimprove.records import Prompt, Rollout
from selfimprove.registry import register


@register("threshold_stopping")
@dataclass
class ThresholdStopping(Refinement, Voting):
    samples: int = bounded(16, 1)
    """Most completions per prompt."""
    portion: int = bounded(4, 1)
    """Completions drawn before each look at the votes."""
    share: float = bounded(0.75, 0, 2)
    """Share of all completions from which on the leader wins; above 1 none is enough."""
    least: int = bounded(4, 1)
    """Completions before a share can be enough."""
    temperature: float = bounded(0.7, 0, 100)
    """Sampling temperature."""

    def cost(self, given: Given) -> Cost:
        return self.samples * given.attempt

    def sampling(self) -> Sampling:
        return Sampling(temperature=self.temperature)

    def more(self, candidates: Sequence[Candidate]) -> int:
        count, (first, second) = len(candidates), leaders(candidates)
        left = self.samples - count
        if first - second > left or (count >= self.least and first >= self.share * count):
            return 0
        return min(self.portion, left)

    def choose(self, candidates: Sequence[Candidate]) -> int:
        return winner(candidates)

    async def answer(self, prompt: Prompt, session: Session) -> Rollout:
        return await poll(self, prompt, session)
