"""A vote that draws until the leading answer is probably the one that a long vote would give.

Idea: easy problems need few votes. The counts so far tell how surely the leader leads.
Survey: sampling and voting, section 5.2.
Paper: arXiv:2305.11860 (Adaptive-Consistency), Aggarwal et al., 2023.
Algorithm:
  1. Draw `portion` completions.
  2. With v1 and v2 votes for the two most frequent answers, the share of the first among both has the posterior
     Beta(v1 + 1, v2 + 1).
  3. Stop if P(share > 1/2) is at least `threshold`, or after `samples` completions; else go on with 1.
  4. Answer as self_consistency does.
Differs: the paper draws one at a time, at most 40. Portions need fewer calls of the engine; the stopping rule is looked
  at after each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Given
from selfimprove.inference.ballots import Candidate, Voting, leaders, poll, winner
from selfimprove.interfaces import Refinement, Sampling, Session
from selfimprove.measures.votes import surely_ahead
from selfimprove.records import Prompt, Rollout
from selfimprove.registry import register


@register("adaptive_consistency", paper="2305.11860")
@dataclass
class AdaptiveConsistency(Refinement, Voting):
    samples: int = bounded(16, 1)
    """Most completions per prompt."""
    portion: int = bounded(2, 1)
    """Completions drawn before each look at the votes."""
    threshold: float = bounded(0.95, 0.5, 1)
    """Probability that the leader is ahead, from which on it wins."""
    temperature: float = bounded(0.7, 0, 100)
    """Sampling temperature."""

    def cost(self, given: Given) -> Cost:
        return self.samples * given.attempt

    def sampling(self) -> Sampling:
        return Sampling(temperature=self.temperature)

    def more(self, candidates: Sequence[Candidate]) -> int:
        first, second = leaders(candidates)
        if first and surely_ahead(first, second) >= self.threshold:
            return 0
        return min(self.portion, self.samples - len(candidates))

    def choose(self, candidates: Sequence[Candidate]) -> int:
        return winner(candidates)

    async def answer(self, prompt: Prompt, session: Session) -> Rollout:
        return await poll(self, prompt, session)
