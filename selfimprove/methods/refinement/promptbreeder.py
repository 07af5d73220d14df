"""A population of instructions evolves, together with the sentences that say how to change them.

Idea: the model changes instructions by mutation prompts, and changes these as well, so that its way of searching
  improves with what it finds.
Survey: optimization of prompts, section 5.1.
Paper: arXiv:2309.16797 (Promptbreeder), Fernando et al., 2023.
Algorithm:
  1. In `fit` try the empty instruction, and that of the weights before, on `problems` selection problems.
  2. A unit is an instruction with a mutation prompt. The first `population` units are drawn in the role mutate from the
     best instruction so far, each with a mutation prompt of a fixed list, and tried.
  3. In a generation the units meet in pairs by chance. The unit with fewer right answers is replaced by the other one,
     changed in one of three ways, chosen by chance: by its mutation prompt; by a mutation prompt that the model has
     changed first; or by a list of all instructions, from worst to best, which the model continues (role mutate).
  4. Repeat from 3, `generations` times at most and while the budget of `answers` lasts.
  5. Answer greedily with the best instruction before each problem; the empty one wins a tie.
Differs: the paper has nine ways of change. Here a new unit is tried before it meets another one.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Given
from selfimprove.inference.instructions import NONE, Search, instructed, proposed, search_cost
from selfimprove.interfaces import Context, Refinement, Session
from selfimprove.needs import Needs
from selfimprove.records import Prompt, Rollout
from selfimprove.registry import register
from selfimprove.text import beside

MUTATIONS = (
    "Make this instruction more precise.",
    "Say the same in other words, and shorter.",
    "Add a hint on how to avoid a likely mistake.",
    "Ask for the steps that lead to an answer.",
    "Change this instruction in a way that nobody expects.",
    "Ask for a check at the end.",
)
CHANGES = ("direct", "hyper", "list")
HYPER = "Change this sentence, which says how to change an instruction, so that it brings better ones."


@register("promptbreeder", paper="2309.16797")
@dataclass
class Promptbreeder(Refinement):
    problems: int = bounded(32, 1)
    """Selection problems that each instruction is tried on."""
    answers: int = bounded(512, 1)
    """Budget of each `fit` in answers; answers / problems is the number of instructions."""
    population: int = bounded(6, 2)
    """Units."""
    generations: int = bounded(4, 0)
    """Most generations."""
    temperature: float = bounded(1.0, 0, 100)
    """Sampling temperature of all changes."""

    def needs(self) -> Needs:
        return Needs(roles=("mutate",))

    def fit_cost(self, given: Given) -> Cost:
        proposals = self.population + 2 * self.generations * (self.population // 2)
        return search_cost(given, self.answers, self.problems, proposals)

    def fit(self, context: Context) -> dict[str, Any]:
        search, chance = Search(context, "promptbreeder", self.answers, self.problems), random.Random(context.seed)
        if search.left < 1:
            return search.state()
        ways = [MUTATIONS[place % len(MUTATIONS)] for place in range(self.population)]
        parent = search.best()[0].text
        units = list(zip(ways, self._mutated(context, [[way, parent or NONE] for way in ways]), strict=True))
        search.add(text for _, text in units)
        for _ in range(self.generations):
            if search.left < 1:
                break
            units = self._generation(context, search, units, chance)
        return search.state()

    async def answer(self, prompt: Prompt, session: Session) -> Rollout:
        return await instructed(prompt, session)

    def _generation(
        self, context: Context, search: Search, units: Sequence[tuple[str, str]], chance: random.Random
    ) -> list[tuple[str, str]]:
        """The units after all pairs have met."""

        def share(place: int) -> float:
            tried = search.tried.get(units[place][1])
            return tried.share if tried else -1.0

        order = chance.sample(range(len(units)), len(units))
        meetings = [sorted(pair, key=share) for pair in zip(order[::2], order[1::2], strict=False)]
        kinds = [chance.choice(CHANGES) for _ in meetings]
        ways = [units[winner][0] for _, winner in meetings]
        hyper = [place for place, kind in enumerate(kinds) if kind == "hyper"]
        for place, way in zip(hyper, self._mutated(context, [[HYPER, ways[one]] for one in hyper]), strict=True):
            ways[place] = way or ways[place]
        listed = "\n".join(one.text for one in search.best(self.population)[::-1] if one.text)
        parts = [
            ["Continue this list with one more, better instruction.", listed or NONE]
            if kind == "list"
            else [way, units[winner][1] or NONE]
            for kind, way, (_, winner) in zip(kinds, ways, meetings, strict=True)
        ]
        made, changed = list(units), self._mutated(context, parts)
        for (loser, winner), way, text in zip(meetings, ways, changed, strict=True):
            made[loser] = way, text or units[winner][1]
        search.add(text for _, text in made)
        return made

    def _mutated(self, context: Context, parts: Sequence[Sequence[str]]) -> list[str]:
        """A text for each (mutation prompt, text to change); "" where the reply is blank."""
        said = proposed(context, "mutate", beside(__name__, "promptbreeder.txt"), parts, 1, self.temperature)
        return [some[0] if some else "" for some in said]
