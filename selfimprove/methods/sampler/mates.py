"""A small model of influence, fitted anew as training goes on, keeps the rows that help a few rows most.

Idea: how much one step on a row lowers the loss of reference rows can be measured for a few rows and predicted for all.
Survey: adaptive selection, section 3.3.
Paper: arXiv:2406.06046 (MATES), Yu et al., 2024.
Algorithm:
  1. Hold back `reference` rows at random, which never train.
  2. Every `every` steps take `probes` rows at random. The influence of each is how far the mean loss of the held-back
     rows falls after one plain gradient step on it alone; then the weights are put back.
  3. Fit a ridge regression from a row's mean last hidden state, its loss and its length to its influence.
  4. Predict the influence of all rows, add Gumbel noise of the size `noise` times their standard deviation, and keep
     the share `keep` with the largest sums.
  5. Until the next fit, steps take the kept rows in random order, pass by pass.
Differs: the paper's regressor is a BERT that reads the text, warm-started each time, and its reference is a task's
  data; a share of 0.2 is the paper's. `learning_rate` is that of the probing steps, not of the training.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Given
from selfimprove.errors import DataError
from selfimprove.interfaces import ROWS, Context, Sampler, SamplerPool
from selfimprove.measures.passes import onward
from selfimprove.registry import register


@register("mates", paper="2406.06046")
@dataclass
class Mates(Sampler):
    chooses: ClassVar[str] = ROWS
    reference: int = bounded(16, 1)
    """Rows that are held back."""
    probes: int = bounded(32, 2)
    """Rows whose influence is measured for each fit."""
    every: int = bounded(20, 1)
    """Steps between two fits."""
    keep: float = bounded(0.2, above=0, high=1)
    """Share of the rows that train until the next fit."""
    noise: float = bounded(0.1, 0)
    """Size of the Gumbel noise, in standard deviations of the predictions."""
    ridge: float = bounded(1.0, above=0)
    """Weight of the squared coefficients in the fit."""
    learning_rate: float = bounded(1e-2, 0, 100)
    """Learning rate of the probing steps."""

    def cost(self, given: Given) -> Cost:
        fits = math.ceil(given.steps / self.every)
        probed = self.probes * (self.reference + 1) + self.reference
        return Cost(scored=fits * (probed + 2 * given.flow.records))

    def begin(self, pool: SamplerPool, context: Context) -> None:
        if len(pool.rows) <= self.reference + 1:
            raise DataError(
                f"sampler.mates holds back {self.reference} rows, and there are {len(pool.rows)}; lower reference"
            )
        order = sorted(range(len(pool.rows)), key=lambda place: (pool.rows[place].id, place))
        pool.random.seed(context.seed)
        pool.state["held"] = sorted(pool.random.sample(order, self.reference))

    def next(self, k: int, pool: SamplerPool) -> list[int]:
        if pool.step % self.every == 0 or "kept" not in pool.state:
            pool.state["kept"] = self._kept(k, pool)
            pool.state["order"] = []
        others = set(range(len(pool.rows))) - set(pool.state["kept"])
        made = onward(pool, k, others)
        return (made * -(-k // len(made)))[:k]

    def _kept(self, k: int, pool: SamplerPool) -> list[int]:
        import numpy

        assert pool.weights is not None, "a training of rows gives its weights"
        held = set(pool.state["held"])
        free = [place for place in range(len(pool.rows)) if place not in held]
        described = self._described(free, pool)
        probed = sorted(pool.random.sample(range(len(free)), min(self.probes, len(free))))
        gains = pool.weights.gains([free[place] for place in probed], pool.state["held"], self.learning_rate)
        predicted = fitted(described[probed], numpy.array(gains), self.ridge)(described)
        spread = float(predicted.std()) * self.noise
        noisy = [
            (-(float(value) - spread * math.log(-math.log(pool.random.random() or 0.5))), place)
            for value, place in zip(predicted, free, strict=True)
        ]
        wanted = min(len(free), max(k, round(self.keep * len(free))))
        return sorted(place for _, place in sorted(noisy)[:wanted])

    def _described(self, places: list[int], pool: SamplerPool) -> Any:
        """The features of each row, standardized: an array (rows, width)."""
        import numpy

        assert pool.weights is not None
        losses = pool.weights.losses(places)
        lengths = [len(pool.rows[place].text) for place in places]
        columns = numpy.column_stack([pool.weights.features(places), losses, lengths])
        spread = columns.std(0)
        return (columns - columns.mean(0)) / numpy.where(spread > 0, spread, 1.0)


def fitted(described: Any, values: Any, ridge: float) -> Any:
    """Predict values from features by ridge regression on these: a function of an array (rows, width)."""
    import numpy

    middle = values.mean()
    gram = described.T @ described + ridge * numpy.eye(described.shape[1])
    weights = numpy.linalg.solve(gram, described.T @ (values - middle))
    return lambda rows: middle + rows @ weights
