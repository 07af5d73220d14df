"""Only groups that are solved sometimes train; the others are drawn again for other problems, so the batch stays full.

Idea: groups that are always or never solved have no advantages; what a model learns from a group grows with p (1 - p).
Survey: iterative scoring, section 3.2.2.
Paper: arXiv:2504.03380 (Online Difficulty Filtering), Bae et al., 2025; DAPO's dynamic sampling, arXiv:2503.14476, is
  the band between 0 and 1.
Algorithm:
  1. Problems come in random order, each once in a pass.
  2. A group counts if its mean reward is in [low, high]. The completions that were judged are those that train.
  3. The other groups are drawn again for the next problems, up to `tries` times.
  4. In the last draw the band is widened: a group counts if its rewards are not all equal. What is left then is not
     learned, and counted in the metrics.
Differs: the band is our choice; the paper's order is asynchronous, and it draws until the batch is full.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from selfimprove.bounds import bounded
from selfimprove.errors import RecipeError
from selfimprove.interfaces import Sampler, SamplerPool
from selfimprove.measures.arms import mean_of
from selfimprove.registry import register

CLOSE = 1e-9
"""What rates may be off by: .8 - .3 is not .5 in floating point."""


@register("online_band", paper="2504.03380")
@dataclass
class OnlineBand(Sampler):
    low: float = bounded(0.25, 0, 1)
    """Lowest mean reward of a group that counts."""
    high: float = bounded(0.75, 0, 1)
    """Highest mean reward of a group that counts."""
    tries: int = bounded(4, 0, 100)
    """How many times a step draws again in place of groups outside the band."""

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise RecipeError(f"sampler.online_band: low is {self.low}, above high, which is {self.high}")

    def again(self) -> int:
        return self.tries

    def next(self, k: int, pool: SamplerPool) -> list[int]:
        made = list[int]()
        while len(made) < k:
            if not pool.state.get("order"):
                pool.state["order"] = pool.random.sample(range(len(pool.problems)), len(pool.problems))
            order = pool.state["order"]
            wanted = k - len(made)
            made += order[:wanted]
            pool.state["order"] = order[wanted:]
        return made

    def seen(self, places: Sequence[int], groups: Sequence[Sequence[float | None]], pool: SamplerPool) -> list[bool]:
        return [self._counts(group, widened=not pool.left) for group in groups]

    def _counts(self, group: Sequence[float | None], widened: bool) -> bool:
        if widened:
            return len({reward for reward in group if reward is not None}) > 1
        mean = mean_of(group)
        return mean is not None and self.low - CLOSE <= mean <= self.high + CLOSE
