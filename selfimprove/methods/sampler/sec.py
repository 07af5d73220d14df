"""A bandit over the difficulty levels, paid by how large the advantages of a level are.

Idea: problems that are always or never solved have no advantages; a bandit finds the level where the model learns now.
Survey: adaptive selection, section 3.3.
Paper: arXiv:2505.14970 (SEC, Self-Evolving Curriculum), Chen et al., 2025.
Algorithm:
  1. The arms are the values of `by` among the problems; each begins with Q = 0.
  2. Each step draws the arm of each prompt with probability proportional to exp(Q / tau), mixed with `explore` times
     the uniform probability, and a problem of it uniformly.
  3. The payment of an arm is the mean absolute advantage of the completions drawn for it in this step.
  4. Q becomes alpha times the payment plus (1 - alpha) times Q; arms that were not drawn keep theirs.
Differs: alpha, tau and `explore` are our choice, and the paper has no floor of exploration. Advantages are divided by
  their group's standard deviation, so that Q stays in [0, 1], unless `normalize` is false.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from selfimprove.bounds import bounded
from selfimprove.interfaces import Sampler, SamplerPool
from selfimprove.measures.arms import advantages, arms_of, picked, shares
from selfimprove.registry import register


@register("sec", paper="2505.14970")
@dataclass
class Sec(Sampler):
    by: str = "level"
    """What a problem notes about itself that tells its arm."""
    alpha: float = bounded(0.5, 0, 1)
    """Weight of the newest payment."""
    tau: float = bounded(0.4, above=0)
    """Temperature of the choice among arms."""
    explore: float = bounded(0.05, 0, 1)
    """Share of the prompts whose arm is drawn uniformly."""
    normalize: bool = True
    """Divide advantages by the standard deviation of their group."""

    def next(self, k: int, pool: SamplerPool) -> list[int]:
        arms = arms_of(pool.problems, self.by)
        worth = pool.state.setdefault("q", dict.fromkeys(arms, 0.0))
        return picked(arms, shares({arm: worth[arm] for arm in arms}, self.tau, self.explore), k, pool.random)

    def seen(self, places: Sequence[int], groups: Sequence[Sequence[float | None]], pool: SamplerPool) -> list[bool]:
        paid: dict[str, list[float]] = {}
        drawn = arms_of([pool.problems[place] for place in places], self.by)
        for arm, own in drawn.items():
            for place in own:
                paid.setdefault(arm, []).extend(advantages(groups[place], self.normalize))
        worth = pool.state["q"]
        for arm, values in paid.items():
            if values:
                worth[arm] += self.alpha * (sum(values) / len(values) - worth[arm])
        return [True] * len(places)
