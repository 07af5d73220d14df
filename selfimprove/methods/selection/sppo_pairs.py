"""Pair the best completion of each problem with the worst, with their win rates against the problem's completions.

Idea: the update of a two-player game needs to know how often a completion wins, not only that it wins.
Survey: preference optimization, section 4.3.
Paper: arXiv:2405.00675 (SPPO), Wu et al., 2024.
Algorithm:
  1. Completion i of a problem beats j with probability sigmoid(scale * (s_i - s_j)), for rewards s.
  2. The win rate of i is the mean over all j, including itself at 1/2. With `rates: true` the rewards are win rates.
  3. Pair the highest reward with the lowest; info has their win rates as p_chosen and p_rejected. A problem whose
     rewards or both texts are equal gives no pair.
Differs: the paper's scores are logits of the preference model PairRM, of 5 samples, with scale 1; `scale` is ours, for
  rewards of another range.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from selfimprove.bounds import bounded
from selfimprove.costs import Flow, Given
from selfimprove.interfaces import Context, Selection
from selfimprove.records import Preference, Record, Rollout, by_prompt
from selfimprove.registry import register


@register("sppo_pairs", paper="2405.00675")
@dataclass
class SppoPairs(Selection):
    consumes: ClassVar[Any] = Rollout
    produces: ClassVar[Any] = Preference
    looped: ClassVar[bool] = True
    scale: float = bounded(1.0, above=0)
    """Factor on the difference of two rewards before the sigmoid."""
    rates: bool = False
    """Whether the rewards are already win rates, like those of the reward pairwise_judge."""

    def gives(self, given: Given) -> Flow:
        return Flow(given.flow.prompts, given.flow.prompts)

    def select(self, records: Sequence[Any], context: Context) -> Sequence[Record]:
        made = []
        for several in by_prompt(one for one in records if one.reward is not None):
            group = [(one.reward or 0.0, one) for one in several]
            (high, best), (low, worst) = max(group, key=lambda one: one[0]), min(group, key=lambda one: one[0])
            if high == low or best.text == worst.text:
                continue
            p_chosen, p_rejected = (
                score if self.rates else sum(_sigmoid(self.scale * (score - other)) for other, _ in group) / len(group)
                for score in (high, low)
            )
            made.append(
                Preference.of(
                    best,
                    worst,
                    info={
                        "p_chosen": p_chosen,
                        "p_rejected": p_rejected,
                        "chosen_score": high,
                        "rejected_score": low,
                    },
                )
            )
        return made


def _sigmoid(x: float) -> float:
    return 0.5 * (1.0 + math.tanh(x / 2))  # does not overflow
