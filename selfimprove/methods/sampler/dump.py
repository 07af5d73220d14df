"""An upper confidence bound on the advantages of each source of problems decides how often it is drawn.

Idea: large advantages show where there is something to learn now; a source that was hardly tried gets a bonus.
Survey: adaptive selection, section 3.3.
Paper: arXiv:2504.09710 (DUMP), Wang et al., 2025.
Algorithm:
  1. The sources are the values of `by` among the problems. Each keeps its last `window` absolute advantages and the
     number n of completions ever drawn for it; N is the sum of these.
  2. The bound of a source is the mean of its window plus `bonus` times sqrt(2 ln(N + 1) / (n + 1)).
  3. Each step draws the source of each prompt with probability proportional to exp(bound / temperature), and a problem
     of it uniformly.
  4. After the step the windows get the absolute advantages of its completions.
Differs: window, bonus and temperature are from the paper's code. Advantages are divided by their group's standard
  deviation, as GRPO's are, unless `normalize` is false.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from selfimprove.bounds import bounded
from selfimprove.interfaces import Sampler, SamplerPool
from selfimprove.measures.arms import advantages, arms_of, picked, shares
from selfimprove.registry import register


@register("dump", paper="2504.09710")
@dataclass
class Dump(Sampler):
    by: str = "level"
    """What a problem notes about itself that tells its source."""
    window: int = bounded(300, 1)
    """Newest absolute advantages of a source that count."""
    bonus: float = bounded(1.0, 0)
    """Weight of the bonus for sources that were drawn rarely."""
    temperature: float = bounded(0.1, above=0)
    """Temperature of the choice among sources."""
    normalize: bool = True
    """Divide advantages by the standard deviation of their group."""

    def next(self, k: int, pool: SamplerPool) -> list[int]:
        arms = arms_of(pool.problems, self.by)
        for arm in arms:
            pool.state.setdefault(arm, {"window": [], "n": 0})
        return picked(arms, self.chances({arm: pool.state[arm] for arm in arms}), k, pool.random)

    def chances(self, sources: dict[str, dict]) -> dict[str, float]:
        """The probability of each source."""
        total = sum(one["n"] for one in sources.values())
        bounds = {
            arm: sum(one["window"]) / max(1, len(one["window"]))
            + self.bonus * math.sqrt(2 * math.log(total + 1) / (one["n"] + 1))
            for arm, one in sources.items()
        }
        return shares(bounds, self.temperature)

    def seen(self, places: Sequence[int], groups: Sequence[Sequence[float | None]], pool: SamplerPool) -> list[bool]:
        for arm, own in arms_of([pool.problems[place] for place in places], self.by).items():
            source = pool.state[arm]
            fresh = [gain for place in own for gain in advantages(groups[place], self.normalize)]
            source["window"] = [*source["window"], *fresh][-self.window :]
            source["n"] += len(fresh)
        return [True] * len(places)
