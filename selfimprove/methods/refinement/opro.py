"""The model proposes instructions from a list of earlier ones with their scores, and the best one is used.

Idea: a model that sees which instructions did well writes better ones, as an optimizer that needs no gradient.
Survey: optimization of prompts, section 5.1.
Paper: arXiv:2309.03409 (OPRO), Yang et al., 2023.
Algorithm:
  1. In `fit` try the empty instruction, and that of the weights before, on `problems` selection problems.
  2. Show the best `history` instructions with their shares of right answers, the best last, and `examples` problems, in
     the role instruct. Draw `proposals` new ones at `temperature`.
  3. Try each that is new on the same problems. Repeat from 2 until `answers` are used up, or until the five best have
     not changed for `patience` steps. The best one stays; the empty one wins a tie.
  4. Answer greedily with that instruction before each problem.
Differs: examples are problems that the model itself answered right, because nothing here reads reference answers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Given
from selfimprove.inference.instructions import NONE, Search, bought, instructed, proposed, search_cost
from selfimprove.interfaces import Context, Refinement, Session
from selfimprove.needs import Needs
from selfimprove.records import Prompt, Rollout
from selfimprove.registry import register
from selfimprove.text import beside

TOP = 5


@register("opro", paper="2309.03409")
@dataclass
class Opro(Refinement):
    problems: int = bounded(32, 1)
    """Selection problems that each instruction is tried on."""
    answers: int = bounded(512, 1)
    """Budget of each `fit` in answers; answers / problems is the number of instructions."""
    proposals: int = bounded(8, 1)
    """Instructions drawn in a step."""
    history: int = bounded(20, 1)
    """Instructions that a proposal sees."""
    examples: int = bounded(3, 0)
    """Solved problems that a proposal sees."""
    patience: int = bounded(3, 1)
    """Steps without change among the five best before the search ends."""
    temperature: float = bounded(1.0, 0, 100)
    """Sampling temperature of proposals."""

    def needs(self) -> Needs:
        return Needs(roles=("instruct",))

    def fit_cost(self, given: Given) -> Cost:
        return search_cost(given, self.answers, self.problems, self._steps(self.problems) * self.proposals)

    def fit(self, context: Context) -> dict[str, Any]:
        search, idle = Search(context, "opro", self.answers, self.problems), 0
        for _ in range(self._steps(len(search.asked))):
            if search.left < 1 or idle >= self.patience:
                break
            top = search.best(TOP)
            known = [f"{one.share:.0%} right: {one.text or NONE}" for one in search.best(self.history)[::-1]]
            parts = ["\n\n".join(known), search.examples(self.examples)]
            words = beside(__name__, "opro.txt")
            [texts] = proposed(context, "instruct", words, [parts], self.proposals, self.temperature)
            search.add(texts)
            idle = idle + 1 if search.best(TOP) == top else 0
        return search.state()

    async def answer(self, prompt: Prompt, session: Session) -> Rollout:
        return await instructed(prompt, session)

    def _steps(self, problems: int) -> int:
        """The most steps of a search: where half of all proposals repeat earlier ones, they still use the budget."""
        return -(-2 * bought(self.answers, problems) // self.proposals)
