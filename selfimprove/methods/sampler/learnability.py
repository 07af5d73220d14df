"""Problems with a large p (1 - p) by their newest completions, mixed with a uniform share.

Idea: the variance of the reward says how much can be learned from a problem; what was drawn for training measures it
  for free.
Survey: iterative scoring, section 3.2.2.
Paper: arXiv:2502.12272 (LILO), Foster and Foerster, 2025; the score is that of SFL, arXiv:2408.15099.
Algorithm:
  1. The learnability of a problem is p (1 - p) n / (n - 1) for the mean reward p of its n newest completions.
  2. The buffer are the `buffer` problems with the largest learnability, without those that have none.
  3. A step draws `share` of its prompts from the buffer, none twice, and the others uniformly: first those that were
     never drawn, then all.
Differs: the papers measure a random set of candidates anew every few steps, by completions that do not train; here each
  problem keeps what its last training step saw, so choosing costs nothing, and the uniform share finds new ones.
  `share` and `buffer` are our choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from selfimprove.bounds import bounded
from selfimprove.interfaces import Sampler, SamplerPool
from selfimprove.registry import register


@register("learnability", paper="2502.12272")
@dataclass
class Learnability(Sampler):
    share: float = bounded(0.75, 0, 1)
    """Share of the prompts of a step that come from the buffer."""
    buffer: int = bounded(64, 1)
    """Problems in the buffer."""

    def next(self, k: int, pool: SamplerPool) -> list[int]:
        known: dict[str, float] = pool.state
        worth = sorted((-value, int(place)) for place, value in known.items() if value > 0)
        top = [place for _, place in worth[: self.buffer]]
        made = pool.random.sample(top, min(len(top), round(self.share * k)))
        chosen = set(made)
        rest = [place for place in range(len(pool.problems)) if place not in chosen]
        pool.random.shuffle(rest)
        rest.sort(key=lambda place: str(place) in known)  # stable: the new ones first
        made += rest[: k - len(made)]
        return made + [pool.random.randrange(len(pool.problems)) for _ in range(k - len(made))]

    def seen(self, places: Sequence[int], groups: Sequence[Sequence[float | None]], pool: SamplerPool) -> list[bool]:
        for place, group in zip(places, groups, strict=True):
            pool.state[str(place)] = learnability(group)
        return [True] * len(places)


def learnability(group: Sequence[float | None]) -> float:
    """The unbiased variance of the rewards of a group: p (1 - p) n / (n - 1) where they are 0 and 1."""
    known = [reward for reward in group if reward is not None]
    if len(known) < 2:
        return 0.0
    mean = sum(known) / len(known)
    return sum((reward - mean) ** 2 for reward in known) / (len(known) - 1)
