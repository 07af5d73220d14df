"""Several agents answer, see each other's answers and answer again; their last answers vote.

Idea: an agent that sees another way to the answer may find its own mistake.
Survey: debate, section 5.5.
Paper: arXiv:2305.14325 (Multiagent Debate), Du et al., 2023; sparse: arXiv:2406.11776, Li et al., 2024.
Algorithm:
  1. `agents` attempts are the first turn; with `personas`, one completion by each of these.
  2. In each further turn every agent sees the last answers of those that `topology` lets it see, in the words of
     the role `refine`, and answers again, until all agree or `turns` have been had.
  3. The last turn's answers vote, as in self_consistency.
Differs: agents are samples of one model. With as many completions, a plain vote is as good on arithmetic
  (arXiv:2310.01798). In the paper an agent also sees its own last answer; here it starts afresh from those of others.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Given
from selfimprove.errors import RecipeError
from selfimprove.inference.ballots import candidates_of, winner
from selfimprove.inference.debate import TOPOLOGIES, debate
from selfimprove.interfaces import Refinement, Sampling, Session
from selfimprove.records import Prompt, Rollout
from selfimprove.registry import register


@register("debate", paper="2305.14325")
@dataclass
class Debate(Refinement):
    agents: int = bounded(3, 2)
    """Agents."""
    turns: int = bounded(3, 1)
    """Most turns of each agent; 1 is a plain vote."""
    topology: str = "all"
    """Whom an agent sees: `all` others, its two neighbours in a `ring`, or in a `star` the first, who sees all."""
    personas: list[str] = field(default_factory=list)
    """Who the agents are, one sentence each that precedes the problem, such as `You check every sum twice.`"""
    temperature: float = bounded(0.7, 0, 100)
    """Sampling temperature of all turns."""

    def __post_init__(self) -> None:
        if self.topology not in TOPOLOGIES:
            raise RecipeError(f"refinement.debate.topology takes {', '.join(TOPOLOGIES)}, not {self.topology!r}")
        if self.personas and len(self.personas) != self.agents:
            raise RecipeError(
                f"refinement.debate.personas has {len(self.personas)} for {self.agents} agents: name one for each"
            )

    def cost(self, given: Given) -> Cost:
        first = given.draw() if self.personas else given.attempt
        return self.agents * (first + given.draw(self.turns - 1))

    async def answer(self, prompt: Prompt, session: Session) -> Rollout:
        turns = await debate(
            prompt,
            session,
            agents=self.agents,
            turns=self.turns,
            sampling=Sampling(temperature=self.temperature),
            topology=self.topology,
            personas=self.personas,
        )
        return turns[-1][winner(await candidates_of(session, turns[-1]))]
