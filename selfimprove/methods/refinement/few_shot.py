"""Shows solved problems before each problem: the nearest ones, or the set that served best on other problems.

Idea: worked examples in the prompt tell a model what is asked of it; which ones are shown matters as much as how many.
Survey: optimization of prompts, section 5.1.
Paper: arXiv:2101.06804 (KATE), Liu et al., 2022, for nearest examples; arXiv:2310.03714 (DSPy), Khattab et al., 2023,
  for examples from the model's own right answers and the search among sets of them.
Algorithm:
  1. In `fit` take `problems` selection problems. `source: bootstrap` draws `samples` attempts at each and keeps a right
     one; `solutions` takes the task's worked solutions instead.
  2. `choose: nearest` shows the `examples` nearest ones by BM25 or embeddings, the nearest last, next to the problem.
  3. `choose: search` draws `sets` sets of `examples` of them, answers up to `trials` selection problems with each, and
     shows the set with most right answers, or none if none is better than no examples.
Differs: KATE finds neighbours by the embeddings of a trained encoder; here these are the model's own. A selection
  problem is never shown to itself.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Given
from selfimprove.errors import RecipeError
from selfimprove.inference.examples import Example, Nearest, check_retrieval, example_of, retrieval_needs, shown, solved
from selfimprove.interfaces import GREEDY, Context, Refinement, Session
from selfimprove.needs import Needs
from selfimprove.records import Prompt, Rollout
from selfimprove.registry import nearest, register

SOURCES = ("bootstrap", "solutions")
CHOICES = ("nearest", "search")


@register("few_shot", paper="2101.06804")
@dataclass
class FewShot(Refinement):
    problems: int = bounded(32, 1)
    """Selection problems that give examples."""
    samples: int = bounded(2, 1)
    """With `source: bootstrap`: attempts at each of them."""
    temperature: float = bounded(0.7, 0, 100)
    """Sampling temperature of these attempts."""
    examples: int = bounded(4, 0)
    """Examples that are shown; with 0 nothing changes."""
    source: str = "bootstrap"
    """Where examples come from: the model's own right answers (`bootstrap`), or the task's `solutions`."""
    choose: str = "nearest"
    """Which are shown: those `nearest` to the problem, or the best set that a `search` finds."""
    retrieve: str = "bm25"
    """With `choose: nearest`: what is near, by shared words (`bm25`) or by the model's own `embeddings`."""
    sets: int = bounded(8, 1)
    """With `choose: search`: sets that are tried."""
    trials: int = bounded(16, 1)
    """With `choose: search`: most selection problems that each set answers."""

    def __post_init__(self) -> None:
        for option, value, known in (("source", self.source, SOURCES), ("choose", self.choose, CHOICES)):
            if value not in known:
                raise RecipeError(f"refinement.few_shot.{option} cannot be {value!r}.{nearest(value, known)}")

        check_retrieval("few_shot.retrieve", self.retrieve)

    def needs(self) -> Needs:
        return retrieval_needs(self.retrieve)

    def fit_cost(self, given: Given) -> Cost:
        drawn = self.problems * self.samples if self.source == "bootstrap" and self.examples else 0
        searched = (self.sets + 1) * self.trials if self.choose == "search" and self.examples else 0
        return (drawn + searched) * max(given.attempt, given.draw())

    def fit(self, context: Context) -> dict[str, Any]:
        if not self.examples:
            return {}
        asked = context.selection(self.problems)
        if self.source == "solutions":
            known = [(one, context.roles.solution(one)) for one in asked]
            pool = [Example(key=one.key, prompt=list(one.prompt), text=text) for one, text in known if text]
        else:
            pool = [example_of(one) for one in solved(context, asked, self.samples, self.temperature)]
        context.log.metric("few_shot/pool", len(pool))
        if self.choose == "nearest":
            return {"examples": pool}
        return {"examples": self._best(context, pool)}

    async def answer(self, prompt: Prompt, session: Session) -> Rollout:
        known: list[Example] = session.state.get("examples", [])
        near = known
        if self.choose == "nearest":
            near = (await Nearest(known, self.retrieve).found(prompt, self.examples, session))[::-1]
        return (await session.attempts(shown(prompt, near), 1, GREEDY))[0]

    def _best(self, context: Context, pool: Sequence[Example]) -> list[Example]:
        """The set with most right answers; the empty one wins a tie."""
        chance = random.Random(context.seed)
        sets = [[], *(chance.sample(pool, min(self.examples, len(pool))) for _ in range(self.sets if pool else 0))]

        async def marked(item: dict[str, Any], session: Session) -> float:
            asked, place = trials[item["problem"]], item["set"]
            others = [one for one in sets[place] if one["key"] != asked.key]
            [made] = await session.attempts(shown(asked, others), 1, GREEDY)
            return session.mark(made) or 0.0

        trials = context.selection(self.problems + self.trials)[-self.trials :]  # others where the task has more
        items = [{"set": place, "problem": number} for place in range(len(sets)) for number in range(len(trials))]
        marks = context.run(marked, items)
        right = [sum(marks[place * len(trials) : (place + 1) * len(trials)]) for place in range(len(sets))]
        context.log.metric("few_shot/gain", (max(right) - right[0]) / max(1, len(trials)))
        return sets[right.index(max(right))]
