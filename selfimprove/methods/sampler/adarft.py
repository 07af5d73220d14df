"""The problems whose difficulty is nearest to a target, which follows the model's rewards.

Idea: a model learns most where it succeeds about half of the time; a controller keeps the difficulty there.
Survey: iterative scoring, section 3.2.2.
Paper: arXiv:2504.05520 (AdaRFT), Shi et al., 2025.
Algorithm:
  1. The difficulty of a problem is what it notes under `by`, scaled to the range 0 to 100 over the pool; a pass rate,
     where higher is easier, is turned round with `rate`.
  2. A step takes the problems nearest to the target T, which begins at 0; equally near ones in random order. A problem
     comes once in a pass over the pool.
  3. With a mean reward R, T becomes T + eta * tanh(alpha * (R - beta)), within 0 to 100.
  4. Without `eta`, the steps are 1 / (alpha * s), at most 50: s is the slope of R over T by least squares over the last
     16 steps, at least 1/100. Steps up to twice as large still converge.
Differs: beta, alpha and the first target are the paper's, and its eta is 50, which swings from too easy to too hard
  where rewards fall steeply; step 4 is ours. Difficulties that are noted are taken as they are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from selfimprove.bounds import bounded
from selfimprove.errors import DataError
from selfimprove.interfaces import Sampler, SamplerPool
from selfimprove.measures.arms import mean_of, noted
from selfimprove.registry import register

TOP = 100.0
KEPT = 16
"""Steps over which the slope of the rewards is taken."""


@register("adarft", paper="2504.05520")
@dataclass
class Adarft(Sampler):
    by: str = "level"
    """What a problem notes about itself that tells its difficulty, a number."""
    rate: bool = False
    """What is noted is a pass rate, so that higher is easier."""
    beta: float = bounded(0.5, 0, 1)
    """Mean reward that is aimed at."""
    alpha: float = bounded(2.0, above=0)
    """How sharply the target answers to the distance from it."""
    eta: float | None = bounded(None, above=0)
    """How far the target moves at most in a step; null: as far as is stable."""

    def next(self, k: int, pool: SamplerPool) -> list[int]:
        hard, state = self._difficulties(pool), pool.state
        state.setdefault("target", 0.0)
        made = list[int]()
        while len(made) < k:
            used = set(state.setdefault("used", []))
            free = [place for place in range(len(hard)) if place not in used]
            pool.random.shuffle(free)
            near = sorted(free, key=lambda place: abs(hard[place] - state["target"]))[: k - len(made)]
            made += near
            state["used"] = [] if len(near) == len(free) else sorted(used | set(near))
        return made

    def _difficulties(self, pool: SamplerPool) -> list[float]:
        values = [noted(problem, self.by) for problem in pool.problems]
        odd = [value for value in values if isinstance(value, bool) or not isinstance(value, int | float)]
        if odd:
            raise DataError(f"sampler.adarft takes a number as difficulty, and {self.by!r} is {odd[0]!r}; set `by`")
        numbers = [-float(str(value)) if self.rate else float(str(value)) for value in values]
        low, high = min(numbers), max(numbers)
        return [TOP * (number - low) / (high - low) if high > low else 0.0 for number in numbers]

    def seen(self, places: Sequence[int], groups: Sequence[Sequence[float | None]], pool: SamplerPool) -> list[bool]:
        means = [mean for group in groups if (mean := mean_of(group)) is not None]
        if means:
            self.move(pool.state, sum(means) / len(means))
        return [True] * len(places)

    def move(self, state: dict[str, Any], reward: float) -> None:
        """Move the target by the mean reward of a step."""
        state["past"] = [*state.get("past", []), [state["target"], reward]][-KEPT:]
        if self.eta is None:
            state["slope"] = max(1 / TOP, slope(state["past"]) or state.get("slope", 0.0))
        eta = self.eta or min(TOP / 2, 1 / (self.alpha * state["slope"]))
        state["target"] = min(TOP, max(0.0, state["target"] + eta * math.tanh(self.alpha * (reward - self.beta))))


def slope(past: Sequence[Sequence[float]]) -> float | None:
    """How much the reward falls for each unit of difficulty, by least squares; None: the targets hardly differ."""
    n = len(past)
    middle, mean = sum(target for target, _ in past) / n, sum(reward for _, reward in past) / n
    spread = sum((target - middle) ** 2 for target, _ in past)
    if spread < n:
        return None
    return -sum((target - middle) * (reward - mean) for target, reward in past) / spread
