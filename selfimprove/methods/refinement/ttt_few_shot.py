"""Before each problem, a copy of the model learns to follow the examples that will be shown with the problem.

Idea: examples in a prompt are used better by a model that was just trained to use them, each one held out in turn.
Survey: test-time training, section 5.5.
Paper: arXiv:2411.07279 (The Surprising Effectiveness of Test-Time Training), Akyürek et al., 2024.
Algorithm:
  1. In `fit` attempt `problems` training problems `samples` times each, and keep the likeliest right attempt.
  2. For a problem find the `examples` nearest ones by BM25.
  3. Leave one out: each is a problem to learn, with the others shown before it, in `orders` random orders. Train a copy
     for `epochs` passes.
  4. Draw a greedy answer from the copy, with all examples shown in each of `votes` random orders. The most frequent
     answer wins. The copy is removed.
Differs: the paper's tasks bring their own examples, which it also turns and mirrors; problems in words have no such
  transformations, so only the order of examples changes. It trains an adapter, as here where weights are large.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Given
from selfimprove.inference.ballots import candidates_of, winner
from selfimprove.inference.examples import Example, Nearest, example_of, row_of, shown, solved
from selfimprove.interfaces import GREEDY, Context, Refinement, Session
from selfimprove.needs import Needs
from selfimprove.records import Prompt, Rollout
from selfimprove.registry import register
from selfimprove.training import Schedule


@register("ttt_few_shot", paper="2411.07279")
@dataclass
class TttFewShot(Refinement):
    problems: int = bounded(64, 1)
    """Training problems that each `fit` attempts."""
    samples: int = bounded(2, 1)
    """Attempts at each of them."""
    examples: int = bounded(4, 0)
    """Examples of a problem; with 0 nothing changes."""
    orders: int = bounded(2, 1)
    """Orders in which the others are shown before an example that is learned."""
    epochs: int = bounded(2, 1)
    """Passes over these rows."""
    votes: int = bounded(2, 1)
    """Orders of all examples in which the problem is answered."""
    learning_rate: float = bounded(1e-5, 0, 100)
    """Learning rate of the copy."""
    per_device_train_batch_size: int = bounded(4, 1)
    """Rows per optimizer step."""

    def needs(self) -> Needs:
        return Needs(engine=("copies",))

    def cost(self, given: Given) -> Cost:
        return max(given.attempt, given.draw(self.votes)) + Cost(copies=1, steps=self._steps(self.examples))

    def fit_cost(self, given: Given) -> Cost:
        return self.problems * self.samples * max(given.attempt, given.draw())

    def fit(self, context: Context) -> dict[str, Any]:
        if not self.examples:
            return {}
        asked = context.problems(self.problems, context.round)
        return {"examples": [example_of(one) for one in solved(context, asked, self.samples, 0.7)]}

    async def answer(self, prompt: Prompt, session: Session) -> Rollout:
        near = Nearest(session.state.get("examples", [])).of(prompt, self.examples)
        if not near:
            return (await session.attempts(prompt, 1, GREEDY))[0]
        chance = session.random
        rows = self._rows(near, chance)
        schedule = Schedule(
            learning_rate=self.learning_rate,
            max_steps=self._steps(len(near)),
            per_device_train_batch_size=self.per_device_train_batch_size,
        )
        asked = [shown(prompt, chance.sample(near, len(near))) for _ in range(self.votes)]
        drawn = list[Rollout]()
        async with session.adapted(rows, schedule) as copy:
            for one in asked:
                drawn += await session.draw(one, 1, GREEDY, of=copy)
                session.best = drawn[winner(await candidates_of(session, drawn))]
        assert session.best is not None
        return session.best

    def _rows(self, near: Sequence[Example], chance: random.Random) -> list[Rollout]:
        """Each example as a problem, with the others shown before it."""
        rows = list[Rollout]()
        for one in near:
            others = [other for other in near if other is not one]
            rows += [row_of(one, chance.sample(others, len(others))) for _ in range(self.orders)]
        return rows

    def _steps(self, examples: int) -> int:
        return self.epochs * -(-examples * self.orders // self.per_device_train_batch_size)
