"""Before each problem, a copy of the model takes a step on each of the solved problems that are nearest to it.

Idea: what a model needs for a problem is in problems like it; a few steps on these move it where it is needed, and the
  copy is thrown away afterwards.
Survey: test-time training, section 5.5.
Paper: arXiv:2305.18466 (Test-Time Training on Nearest Neighbors), Hardt and Sun, 2023.
Algorithm:
  1. In `fit` attempt `problems` training problems `samples` times each, and keep the likeliest right attempt.
  2. For a problem find the `neighbours` nearest ones by BM25, or by the model's embeddings.
  3. Train a copy on them: one step each, the nearest first, at a constant rate.
  4. Draw the answer from the copy at `temperature`, then remove it. Without neighbours the model itself answers.
Differs: the paper's neighbours are texts of a large corpus, found by embeddings. Here they are the model's own right
  answers to problems of the training split, so the index has no problem of an exam.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Given
from selfimprove.inference.examples import Nearest, check_retrieval, example_of, retrieval_needs, row_of, solved
from selfimprove.interfaces import Context, Refinement, Sampling, Session
from selfimprove.needs import Needs
from selfimprove.records import Prompt, Rollout
from selfimprove.registry import register
from selfimprove.training import Schedule


@register("ttt_neighbours", paper="2305.18466")
@dataclass
class TttNeighbours(Refinement):
    problems: int = bounded(128, 1)
    """Training problems that each `fit` attempts."""
    samples: int = bounded(2, 1)
    """Attempts at each of them."""
    neighbours: int = bounded(8, 0)
    """Solved problems that a copy learns; with 0 nothing changes."""
    learning_rate: float = bounded(1e-5, 0, 100)
    """Learning rate of the copy."""
    temperature: float = bounded(0.0, 0, 100)
    """Sampling temperature of the answer; attempts in `fit` have 0.7."""

    retrieve: str = "bm25"
    """Which ones are near: by shared words (`bm25`), or by the model's own `embeddings`."""

    def __post_init__(self) -> None:
        check_retrieval("ttt_neighbours.retrieve", self.retrieve)

    def needs(self) -> Needs:
        return Needs(engine=("copies",)) + retrieval_needs(self.retrieve)

    def cost(self, given: Given) -> Cost:
        return max(given.attempt, given.draw()) + Cost(copies=1, steps=self.neighbours)

    def fit_cost(self, given: Given) -> Cost:
        return self.problems * self.samples * max(given.attempt, given.draw())

    def fit(self, context: Context) -> dict[str, Any]:
        if not self.neighbours:
            return {}
        asked = context.problems(self.problems, context.round)
        known = [example_of(one) for one in solved(context, asked, self.samples, 0.7)]
        context.log.metric("ttt_neighbours/index", len(known))
        return {"examples": known}

    async def answer(self, prompt: Prompt, session: Session) -> Rollout:
        known = Nearest(session.state.get("examples", []), self.retrieve)
        near = await known.found(prompt, self.neighbours, session)
        sampling = Sampling(temperature=self.temperature)
        if not near:
            return (await session.attempts(prompt, 1, sampling))[0]
        async with session.adapted([row_of(one) for one in near], self._schedule(len(near))) as copy:
            return (await session.draw(prompt, 1, sampling, of=copy))[0]

    def _schedule(self, steps: int) -> Schedule:
        return Schedule(
            learning_rate=self.learning_rate,
            max_steps=steps,
            per_device_train_batch_size=1,
            lr_scheduler_type="constant",
            train_sampling_strategy="sequential",
        )
