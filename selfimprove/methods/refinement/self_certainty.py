"""A vote in which sure completions count more: weights by the rank of their self-certainty.

Idea: the distributions of the next token are far from uniform where a model knows what it says.
Survey: sampling and voting, section 5.2.
Paper: arXiv:2502.18581 (Scalable Best-of-N Selection via Self-Certainty), Kang et al., 2025.
Algorithm:
  1. Draw `samples` completions at `temperature`.
  2. The self-certainty of a completion is the mean over its tokens of KL(uniform || distribution of the next token).
  3. Rank the N completions by it. A completion of rank r, the best first, votes with the weight (N - r + 1) ** power.
  4. Take the answer with the largest sum; completions without an answer have a rank, and do not vote.
Differs: `power` 0 is the vote of self_consistency, and a large one takes the surest completion. The paper chooses it by
  the number of samples; the default here is ours. Short and formulaic texts are sure as well, right or wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Given
from selfimprove.inference.ballots import Candidate, Voting, borda, mean, poll, winner
from selfimprove.interfaces import Refinement, Sampling, Session
from selfimprove.needs import Needs
from selfimprove.records import Prompt, Rollout
from selfimprove.registry import register


@register("self_certainty", paper="2502.18581")
@dataclass
class SelfCertainty(Refinement, Voting):
    samples: int = bounded(16, 1)
    """Completions per prompt."""
    temperature: float = bounded(0.7, 0, 100)
    """Sampling temperature."""
    power: float = bounded(0.5, 0, 100)
    """How much more the surest completions count; 0 counts all alike."""

    def needs(self) -> Needs:
        return Needs(engine=("tops",), statistics=("self_certainty",))

    def cost(self, given: Given) -> Cost:
        return self.samples * (given.attempt + Cost(scored=1))

    def sampling(self) -> Sampling:
        return Sampling(temperature=self.temperature, note=("self_certainty",))

    def more(self, candidates: Sequence[Candidate]) -> int:
        return self.samples - len(candidates)

    def choose(self, candidates: Sequence[Candidate]) -> int:
        sure = [mean(one.noted.get("self_certainty", ())) for one in candidates]
        return winner(candidates, borda(sure, self.power))

    async def answer(self, prompt: Prompt, session: Session) -> Rollout:
        return await poll(self, prompt, session, "self_certainty")
