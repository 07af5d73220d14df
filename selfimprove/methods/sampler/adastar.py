"""The problems that were drawn longest ago come first, the hardest of them before the others.

Idea: drawing at random leaves some problems out for long; a queue by age and difficulty does not, and a weak model
  moves on slowly, so that it meets problems again that it can solve.
Survey: iterative scoring, section 3.2.2.
Paper: arXiv:2505.16322 (AdaSTaR), Koh et al., 2025.
Algorithm:
  1. Each problem keeps the step t in which it was last moved on, and the share w of its completions that were right
     then; a new one has t = -1 and w = 0.
  2. A step takes the problems with the smallest (t, w), equal ones in an order drawn once at the start: pools are often
     sorted by kind, and all problems are equal then. Those without a right completion are replaced by the next ones
     in this order, up to `tries` times.
  3. With m problems attempted and a mean reward of a, the first round(m * a^power) of them get new t and w. The others
     keep theirs, so they come again soon.
  4. Groups without a right completion do not count.
Differs: the paper samples until a fixed number of right solutions is found, one of each problem with a hint after a
  failure, and trains on them by imitation; here a step of policy gradient has whole groups, draws again at most `tries`
  times, and gives no hints. Power 2 is the paper's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from selfimprove.bounds import bounded
from selfimprove.interfaces import Sampler, SamplerPool
from selfimprove.measures.arms import mean_of
from selfimprove.registry import register


@register("adastar", paper="2505.16322")
@dataclass
class Adastar(Sampler):
    power: float = bounded(2.0, 0)
    """Power of the mean reward: how fast a strong model moves on."""
    tries: int = bounded(2, 0, 100)
    """How many times a step draws again in place of problems without a right completion."""

    def again(self) -> int:
        return self.tries

    def next(self, k: int, pool: SamplerPool) -> list[int]:
        size = len(pool.problems)
        last = pool.state.setdefault("last", [-1] * size)
        rate = pool.state.setdefault("rate", [0.0] * size)
        turn = pool.state.setdefault("turn", pool.random.sample(range(size), size))
        tried = {place for place, _ in pool.state.setdefault("tried", [])}
        order = sorted(range(size), key=lambda place: (place in tried, last[place], rate[place], turn[place]))
        return [order[i % size] for i in range(k)]  # a pool smaller than a step comes again

    def seen(self, places: Sequence[int], groups: Sequence[Sequence[float | None]], pool: SamplerPool) -> list[bool]:
        won = [min(1.0, max(0.0, mean_of(group) or 0.0)) for group in groups]
        pool.state["tried"] += [[place, share] for place, share in zip(places, won, strict=True)]
        if not pool.left or all(won):
            self._move_on(pool)
        return [share > 0 for share in won]

    def _move_on(self, pool: SamplerPool) -> None:
        tried = pool.state["tried"]
        mean = sum(share for _, share in tried) / len(tried)
        for place, share in tried[: round(len(tried) * mean**self.power)]:
            pool.state["last"][place], pool.state["rate"][place] = pool.step, share
        pool.state["tried"] = []
