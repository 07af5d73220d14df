"""A few unlike problems of each group, and a bandit that draws the groups which are solved half of the time.

Idea: a pool repeats itself, so few problems of each group do; which group is drawn follows what the model can do now.
Survey: adaptive selection, section 3.3.
Paper: arXiv:2508.05015 (SPaRFT), Do et al., 2025.
Algorithm:
  1. The groups are the values of `by` among the problems. Of each keep `problems`, one after the other the one that
     shares the fewest pieces of text with those kept before.
  2. The pass rate of a group moves by `rate` towards the mean reward of each step in which it is drawn; it begins at
     one half.
  3. A group is worth 1 - |2 p - 1| for its pass rate p. Each step draws the group of each prompt with probability
     proportional to exp(worth / tau), and a kept problem of it uniformly.
Differs: this follows the paper's abstract, which we could check: reduction by clusters, then a bandit over them. Its
  clusters are of embeddings and difficulty; the groups here are noted. Worth, tau, rate and sizes are our choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from selfimprove.bounds import bounded
from selfimprove.interfaces import Context, Sampler, SamplerPool
from selfimprove.measures.arms import arms_of, mean_of, picked, shares
from selfimprove.registry import register


@register("sparft", paper="2508.05015")
@dataclass
class Sparft(Sampler):
    by: str = "level"
    """What a problem notes about itself that tells its group."""
    problems: int = bounded(64, 1)
    """Problems of a group that are kept."""
    rate: float = bounded(0.3, above=0, high=1)
    """Weight of the newest mean reward in a group's pass rate."""
    tau: float = bounded(0.2, above=0)
    """Temperature of the choice among groups."""

    def begin(self, pool: SamplerPool, context: Context) -> None:
        arms = arms_of(pool.problems, self.by)
        said = [problem.key or str(problem.prompt) for problem in pool.problems]
        pool.state["kept"] = {arm: spread(places, said, self.problems) for arm, places in arms.items()}
        pool.state["solved"] = dict.fromkeys(arms, 0.5)

    def next(self, k: int, pool: SamplerPool) -> list[int]:
        worth = {arm: 1 - abs(2 * solved - 1) for arm, solved in pool.state["solved"].items()}
        return picked(pool.state["kept"], shares(worth, self.tau), k, pool.random)

    def seen(self, places: Sequence[int], groups: Sequence[Sequence[float | None]], pool: SamplerPool) -> list[bool]:
        solved = pool.state["solved"]
        for arm, own in arms_of([pool.problems[place] for place in places], self.by).items():
            means = [mean for place in own if (mean := mean_of(groups[place])) is not None]
            if means:
                solved[arm] += self.rate * (sum(means) / len(means) - solved[arm])
        return [True] * len(places)


def spread(places: Sequence[int], said: Sequence[str], k: int) -> list[int]:
    """k of the places, each time the one whose nearest chosen text is farthest: 1 - Jaccard of pairs of characters."""
    pieces = {place: {said[place][i : i + 2] for i in range(max(1, len(said[place]) - 1))} for place in places}
    made, nearest = list[int](), dict.fromkeys(places, 2.0)
    for _ in range(min(k, len(places))):
        best = max(nearest, key=lambda place: (nearest[place], -place))
        made.append(best)
        del nearest[best]
        for place in nearest:
            alike = len(pieces[place] & pieces[best]) / len(pieces[place] | pieces[best])
            nearest[place] = min(nearest[place], 1 - alike)
    return made
