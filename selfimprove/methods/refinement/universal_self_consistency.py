"""The model itself chooses the most consistent of its answers, shown in two orders.

Idea: free texts cannot be counted, but a model can tell which of them the others agree with.
Survey: sampling and voting, section 5.2.
Paper: arXiv:2311.17311 (Universal Self-Consistency), Chen et al., 2023.
Algorithm:
  1. Draw `samples` completions at `temperature`.
  2. Show all of them, numbered, in a random order and ask in the role choose for the number of the most consistent one.
     Do so in a second order.
  3. If both choices are the same completion, or have the same answer, take the first of them; else the most frequent
     answer, as in self_consistency. A reply without a number chooses nothing.
Differs: the paper asks once. Models prefer some places of a list, so here a choice counts only if another order does
  not change it. `info["agreed"]` of an answer says whether it did.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Given
from selfimprove.inference.ballots import candidate_of, winner
from selfimprove.interfaces import GREEDY, Refinement, Sampling, Session
from selfimprove.needs import Needs
from selfimprove.records import Prompt, Rollout, changed
from selfimprove.registry import register
from selfimprove.text import beside, listed

ORDERS = 2


@register("universal_self_consistency", paper="2311.17311")
@dataclass
class UniversalSelfConsistency(Refinement):
    samples: int = bounded(8, 1)
    """Completions per prompt."""
    temperature: float = bounded(0.7, 0, 100)
    """Sampling temperature."""

    def needs(self) -> Needs:
        return Needs(roles=("choose",))

    def cost(self, given: Given) -> Cost:
        return self.samples * given.attempt + given.draw(ORDERS)

    async def answer(self, prompt: Prompt, session: Session) -> Rollout:
        drawn = await session.attempts(prompt, self.samples, Sampling(temperature=self.temperature))
        said = [candidate_of(one, session.answer_of(one)) for one in drawn]
        session.best = drawn[winner(said)]
        orders = [session.random.sample(range(len(drawn)), len(drawn)) for _ in range(ORDERS)]
        first, second = await session.all([_chosen(prompt, drawn, order, session) for order in orders])
        agreed = (
            first is not None
            and second is not None
            and (first == second or (said[first].answer is not None and said[first].answer == said[second].answer))
        )
        best = drawn[first] if agreed and first is not None else session.best
        return changed(best, info={**best.info, "agreed": agreed})


async def _chosen(prompt: Prompt, drawn: list[Rollout], order: list[int], session: Session) -> int | None:
    """The place of the chosen completion; None if the reply has no number of one."""
    shown = [drawn[place].text for place in order]
    words = listed(beside(__name__, "universal_self_consistency.txt"), len(shown))
    asked = session.words("choose", prompt, *shown, otherwise=words)
    [reply] = await session.draw(asked, 1, GREEDY, role="choose")
    numbers = [int(found) for found in re.findall(r"\d{1,6}", reply.text)]
    named = [number for number in numbers if 1 <= number <= len(order)]
    return order[named[-1] - 1] if named else None
