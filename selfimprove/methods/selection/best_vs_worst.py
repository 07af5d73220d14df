"""Pair the best completion of each prompt with the worst.

Idea: the preference data of iterative DPO: the highest reward against the lowest.
Survey: one-shot scoring, section 3.2.1.
Paper: arXiv:2401.10020 (Self-Rewarding Language Models), Yuan et al., 2024, section 2.4.
Algorithm:
  1. Group the rollouts that have a reward by prompt.
  2. Sort each group by reward; pair the highest with the lowest, the second with the second lowest, up to `pairs`.
  3. Drop pairs whose rewards differ by at most `min_gap`, and pairs of equal texts.
Differs: the paper takes one pair per prompt, which is the default.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from selfimprove.costs import Flow, Given
from selfimprove.interfaces import Context, Selection
from selfimprove.records import Preference, Record, Rollout, by_prompt
from selfimprove.registry import register


@register("best_vs_worst", paper="2401.10020")
@dataclass
class BestVsWorst(Selection):
    consumes: ClassVar[Any] = Rollout
    produces: ClassVar[Any] = Preference
    looped: ClassVar[bool] = True
    pairs: int = 1
    """Most pairs per prompt."""
    min_gap: float = 0.0
    """The rewards of a pair must differ by more than this."""

    def gives(self, given: Given) -> Flow:
        came = given.flow
        return Flow(min(came.prompts * self.pairs, came.records // 2), came.prompts, self.pairs)

    def select(self, records: Sequence[Any], context: Context) -> Sequence[Record]:
        made = []
        for group in by_prompt(one for one in records if one.reward is not None):
            ranked = sorted(group, key=lambda rollout: -(rollout.reward or 0.0))
            for best, worst in list(zip(ranked, reversed(ranked), strict=True))[: min(self.pairs, len(ranked) // 2)]:
                if (best.reward or 0.0) - (worst.reward or 0.0) > self.min_gap and best.text != worst.text:
                    made.append(
                        Preference.of(
                            best,
                            worst,
                            info={"chosen_score": best.reward, "rejected_score": worst.reward},
                        )
                    )
        return made
