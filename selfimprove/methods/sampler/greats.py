"""The rows of a batch whose gradients together lower the loss of a few rows that are held back, chosen one by one.

Idea: to first order a step on a row lowers the loss of other rows by the product of their gradients; rows that agree
  with each other add less than the sum, so they are chosen one after the other.
Survey: iterative scoring, section 3.2.2.
Paper: none on arXiv; GREATS, Wang et al., NeurIPS 2024.
Algorithm:
  1. Hold back `validation` rows at random, which never train.
  2. Each step takes the next rows of a pass in random order, `times` as many as train.
  3. The score of a row is eta times the product of its gradient with the mean gradient of the rows held back.
  4. Choose the row with the largest score; subtract eta^2 times its products with the others from their scores; repeat.
     The products come from one backward pass, layer by layer over pairs of tokens.
Differs: the held-back rows are part of the given ones; the public code's validation batch has 2 rows. Gradients are
  those of the linear layers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Given
from selfimprove.errors import DataError
from selfimprove.interfaces import ROWS, Context, Sampler, SamplerPool
from selfimprove.measures.passes import onward
from selfimprove.registry import register


@register("greats")
@dataclass
class Greats(Sampler):
    chooses: ClassVar[str] = ROWS
    validation: int = bounded(8, 1)
    """Rows that are held back."""
    times: int = bounded(2, 1)
    """Candidates for each row that trains."""
    eta: float = bounded(1e-3, above=0)
    """Size of the step that the scores assume: the learning rate of the training."""

    def cost(self, given: Given) -> Cost:
        both = given.step_rows * self.times + self.validation
        return Cost(scored=given.steps * 2 * both)

    def begin(self, pool: SamplerPool, context: Context) -> None:
        if len(pool.rows) <= self.validation:
            raise DataError(
                f"sampler.greats holds back {self.validation} rows, and there are {len(pool.rows)}; lower validation"
            )
        held = sorted(range(len(pool.rows)), key=lambda place: (pool.rows[place].id, place))
        pool.random.seed(context.seed)
        pool.state["held"] = sorted(pool.random.sample(held, self.validation))

    def next(self, k: int, pool: SamplerPool) -> list[int]:
        assert pool.weights is not None, "a training of rows gives its weights"
        held = pool.state["held"]
        candidates = onward(pool, k * self.times, held)
        products = pool.weights.products(candidates, [*held, *candidates])
        scores = [self.eta * sum(row[: len(held)]) / len(held) for row in products]
        alike = [[self.eta**2 * one for one in row[len(held) :]] for row in products]
        made = [candidates[place] for place in greedy(scores, alike, min(k, len(candidates)))]
        return (made * -(-k // len(made)))[:k]  # a pool smaller than a step comes again


def greedy(scores: list[float], alike: list[list[float]], k: int) -> list[int]:
    """k places: the largest score, then the largest of the scores less what the chosen ones have in common with it."""
    left, made = dict(enumerate(scores)), list[int]()
    for _ in range(k):
        best = max(left, key=lambda place: (left[place], -place))
        made.append(best)
        del left[best]
        for place in left:
            left[place] -= alike[best][place]
    return made
