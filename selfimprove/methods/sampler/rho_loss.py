"""The rows of a large batch whose loss can still fall: the loss now, less that of a model which saw rows like it.

Idea: a high loss means a row that is not learned yet, or one that cannot be learned, such as a wrong label; a model
  trained on other rows tells the two apart.
Survey: iterative scoring, section 3.2.2.
Paper: arXiv:2206.07137 (RHO-LOSS), Mindermann et al., 2022.
Algorithm:
  1. Before training, split the rows at random into halves and train a copy of the start on each. The irreducible loss
     of a row is its loss under the copy that did not see it.
  2. Each step takes the next `candidates` rows of a pass in random order, at least those of a step, and their losses
     under the weights in training.
  3. The rows with the largest difference of the two losses train.
Differs: the paper trains a smaller model on held-out data; here no data is held out, so the halves score each other.
  Losses are means over the learned tokens. 320 candidates for a step of 32 are the paper's. With `irreducible: false`
  the irreducible loss is 0 and the largest losses train.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from selfimprove import training
from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Given
from selfimprove.interfaces import ROWS, Context, Sampler, SamplerPool
from selfimprove.measures.passes import onward
from selfimprove.needs import Needs
from selfimprove.registry import register


@register("rho_loss", paper="2206.07137")
@dataclass
class RhoLoss(Sampler):
    chooses: ClassVar[str] = ROWS
    candidates: int = bounded(320, 1)
    """Rows of the large batch of a step."""
    irreducible: bool = True
    """Subtract the loss of a copy of the start that was trained on the other half of the rows."""
    learning_rate: float = bounded(1e-4, 0, 100)
    """Learning rate of the copies."""
    num_train_epochs: float = bounded(1.0, 0, 1e6)
    """Passes of each copy over its half."""

    def needs(self) -> Needs:
        copied = Needs(engine=("copies",), statistics=("logprob",)) if self.irreducible else Needs()
        return super().needs() + copied

    def cost(self, given: Given) -> Cost:
        scored = Cost(scored=given.steps * max(self.candidates, given.step_rows))
        if not self.irreducible:
            return scored
        half = math.ceil(given.flow.records / 2)
        steps = max(1, math.ceil(math.ceil(half / 8) * self.num_train_epochs))
        return scored + Cost(copies=2, steps=2 * steps, scored=given.flow.records)

    def begin(self, pool: SamplerPool, context: Context) -> None:
        pool.state["irreducible"] = self._irreducible(pool, context) if self.irreducible else [0.0] * len(pool.rows)

    def _irreducible(self, pool: SamplerPool, context: Context) -> list[float]:
        order = sorted(range(len(pool.rows)), key=lambda place: (pool.rows[place].id, place))
        halves = order[::2], order[1::2]
        found = [0.0] * len(order)
        schedule = training.Schedule(
            learning_rate=self.learning_rate, num_train_epochs=self.num_train_epochs, seed=context.seed
        )
        for own, others in (halves, halves[::-1]):
            if own and others:
                with context.policy.adapted([pool.rows[place] for place in own], schedule) as copy:
                    told = copy.logprobs_of([pool.rows[place] for place in others])
                for place, numbers in zip(others, told, strict=True):
                    found[place] = -sum(numbers) / max(1, len(numbers))
        return found

    def next(self, k: int, pool: SamplerPool) -> list[int]:
        assert pool.weights is not None, "a training of rows gives its weights"
        large = onward(pool, max(k, self.candidates))
        less = pool.state["irreducible"]
        gaps = [(less[place] - loss, place) for place, loss in zip(large, pool.weights.losses(large), strict=True)]
        made = [place for _, place in sorted(gaps)[:k]]
        return (made * -(-k // len(made)))[:k]  # a pool smaller than a step comes again
