"""The model guesses the instruction behind solved problems; the best guesses are tried, and varied.

Idea: a model that sees problems with right replies can say what was asked, and among many guesses some serve well.
Survey: optimization of prompts, section 5.1.
Paper: arXiv:2211.01910 (APE), Zhou et al., 2022.
Algorithm:
  1. In `fit` try the empty instruction, and that of the weights before, on `problems` selection problems.
  2. Show `examples` problems with right replies in the role guess, and draw `candidates` instructions at `temperature`.
     Try each that is new on the same problems.
  3. Up to `rounds` times, while the budget of `answers` lasts: draw one variation with the same meaning, in the role
     vary, of each of the best `keep`, and try them.
  4. Answer greedily with the best instruction before each problem; the empty one wins a tie.
Differs: examples are problems that the model itself answered right; where it has none, it guesses from nothing. The
  paper also scores by the likelihood of references, which nothing here reads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Given
from selfimprove.inference.instructions import Search, instructed, proposed, search_cost
from selfimprove.interfaces import Context, Refinement, Session
from selfimprove.needs import Needs
from selfimprove.records import Prompt, Rollout
from selfimprove.registry import register
from selfimprove.text import beside


@register("ape", paper="2211.01910")
@dataclass
class Ape(Refinement):
    problems: int = bounded(32, 1)
    """Selection problems that each instruction is tried on."""
    answers: int = bounded(512, 1)
    """Budget of each `fit` in answers; answers / problems is the number of instructions."""
    candidates: int = bounded(10, 1)
    """Instructions that are guessed."""
    examples: int = bounded(5, 0)
    """Solved problems that a guess sees."""
    rounds: int = bounded(1, 0)
    """Rounds of variations."""
    keep: int = bounded(4, 1)
    """The best instructions, which are varied."""
    temperature: float = bounded(1.0, 0, 100)
    """Sampling temperature of guesses and variations."""

    def needs(self) -> Needs:
        return Needs(roles=("guess", "vary"))

    def fit_cost(self, given: Given) -> Cost:
        return search_cost(given, self.answers, self.problems, self.candidates + self.rounds * self.keep)

    def fit(self, context: Context) -> dict[str, Any]:
        search = Search(context, "ape", self.answers, self.problems)
        if search.left > 0:
            parts, words = [search.examples(self.examples)], beside(__name__, "ape_guess.txt")
            [texts] = proposed(context, "guess", words, [parts], self.candidates, self.temperature)
            search.add(texts)
        for _ in range(self.rounds):
            best = [one.text for one in search.best(self.keep) if one.text]
            if search.left < 1 or not best:
                break
            words = beside(__name__, "ape_vary.txt")
            varied = proposed(context, "vary", words, [[text] for text in best], 1, self.temperature)
            search.add(text for some in varied for text in some)
        return search.state()

    async def answer(self, prompt: Prompt, session: Session) -> Rollout:
        return await instructed(prompt, session)
