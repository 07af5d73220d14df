"""Rows in boxes, as flash cards: what the model knows comes again ever later, what is too hard waits.

Idea: most of a pass goes to rows that are known already, or that cannot be learned yet; both come again from time to
  time, in case that changed.
Survey: iterative scoring, section 3.2.2.
Paper: none on arXiv; after Spaced Scheduling for Large Language Model Training, TMLR 2025, whose intervals are not
  known to us.
Algorithm:
  1. A round is as many steps as a pass takes. The cuts are the `low` and the `high` quantile of the losses of the first
     `warmup` rows under the weights that training starts from.
  2. Each step looks at rows that are due in this round, in random order, `candidates` at most, and at their losses. A
     row below the low cut is known: its interval doubles, up to `longest` rounds. One above the high cut waits for
     `longest` rounds. One in between trains, and comes again in the next round.
  3. A row that was known and is not below the low cut any more has its interval back at 1 round.
  4. If too few are found, those with the smallest loss above the high cut train as well, then the ones with the largest
     below the low cut, then any.
Differs: this is a reconstruction, therefore its own name; intervals, quantiles and step 4 are our choice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Given
from selfimprove.errors import RecipeError
from selfimprove.interfaces import ROWS, Sampler, SamplerPool
from selfimprove.registry import register


@register("spaced_leitner")
@dataclass
class SpacedLeitner(Sampler):
    chooses: ClassVar[str] = ROWS
    low: float = bounded(0.2, 0, 1)
    """Quantile of the first losses below which a row is known."""
    high: float = bounded(0.9, 0, 1)
    """Quantile of the first losses above which a row is too hard."""
    longest: int = bounded(8, 1)
    """Longest interval, in rounds."""
    warmup: int = bounded(256, 1)
    """Rows whose losses give the cuts."""
    candidates: int = bounded(128, 1)
    """Rows that a step looks at."""

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise RecipeError(f"sampler.spaced_leitner: low is {self.low}, above high, which is {self.high}")

    def cost(self, given: Given) -> Cost:
        return Cost(scored=min(self.warmup, given.flow.records) + given.steps * max(self.candidates, given.step_rows))

    def next(self, k: int, pool: SamplerPool) -> list[int]:
        assert pool.weights is not None, "a training of rows gives its weights"
        size = len(pool.rows)
        if not pool.state:
            self._begin_boxes(k, pool)
        state = pool.state
        now = pool.step // state["steps"]
        due = [place for place in range(size) if state["due"][place] <= now]
        looked = pool.random.sample(due, min(len(due), max(k, self.candidates)))
        losses = dict(zip(looked, pool.weights.losses(looked), strict=True)) if looked else {}
        low, high = state["cuts"]
        known = [place for place in looked if losses[place] < low]
        hard = sorted((place for place in looked if losses[place] > high), key=lambda place: losses[place])
        between = [place for place in looked if low <= losses[place] <= high]
        made = (between + hard + sorted(known, key=lambda place: -losses[place]))[:k]
        rest = [place for place in range(size) if place not in set(made)]
        made += pool.random.sample(rest, min(k - len(made), len(rest)))
        for place in known:
            state["interval"][place] = min(self.longest, 2 * state["interval"][place])
        for place in (*between, *hard):
            state["interval"][place] = 1
        for place in looked if len(between) <= k else (*made, *known, *hard):
            state["due"][place] = now + (self.longest if losses[place] > high else state["interval"][place])
        return made + [pool.random.randrange(size) for _ in range(k - len(made))]

    def _begin_boxes(self, k: int, pool: SamplerPool) -> None:
        assert pool.weights is not None
        size = len(pool.rows)
        first = sorted(pool.weights.losses(pool.random.sample(range(size), min(size, self.warmup))))
        cuts = [first[min(len(first) - 1, int(share * len(first)))] for share in (self.low, self.high)]
        steps = max(1, -(-size // k))
        pool.state.update(cuts=cuts, interval=[1] * size, due=[0] * size, steps=steps)
