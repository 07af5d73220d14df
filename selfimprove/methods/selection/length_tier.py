"""Pair the shortest of the good completions of a problem with the longest of the bad ones.

Idea: judges prefer long answers. Choosing the shortest of several answers with similar rewards keeps length from
  growing from round to round.
Survey: one-shot scoring, section 3.2.1; length bias, section 7.3.
Paper: arXiv:2407.19594 (Meta-Rewarding Language Models), Wu et al., 2024: length control.
Algorithm:
  1. S+ and S- are the highest and the lowest reward of a problem.
  2. Chosen is the shortest completion with a reward of at least (1 - rho) S+ + rho S-.
  3. Rejected is the longest completion with a reward of at most (1 - rho) S- + rho S+.
  4. No pair if all rewards are equal, or if both texts are equal.
Differs: lengths are in characters, so that no tokenizer is needed. The default of rho is our choice; from 1/2 on the
  two tiers overlap, and a pair may then prefer the lower reward.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from selfimprove.bounds import bounded
from selfimprove.costs import Flow, Given
from selfimprove.interfaces import Context, Selection
from selfimprove.records import Preference, Record, Rollout, by_prompt
from selfimprove.registry import register


@register("length_tier", paper="2407.19594")
@dataclass
class LengthTier(Selection):
    consumes: ClassVar[Any] = Rollout
    produces: ClassVar[Any] = Preference
    looped: ClassVar[bool] = True
    rho: float = bounded(0.1, 0, 1)
    """Share of the range of a problem's rewards that counts as good, and as bad; 0 pairs the best with the worst."""

    def gives(self, given: Given) -> Flow:
        return Flow(given.flow.prompts, given.flow.prompts)

    def select(self, records: Sequence[Any], context: Context) -> Sequence[Record]:
        made = []
        for several in by_prompt(one for one in records if one.reward is not None):
            group = [(one.reward or 0.0, one) for one in several]
            high, low = max(score for score, _ in group), min(score for score, _ in group)
            if high == low:
                continue
            width = self.rho * (high - low) + 1e-9
            good = [(score, rollout) for score, rollout in group if score >= high - width]
            bad = [(score, rollout) for score, rollout in group if score <= low + width]
            best_score, best = min(good, key=lambda one: (len(one[1].text), -one[0]))
            worst_score, worst = max(bad, key=lambda one: (len(one[1].text), -one[0]))
            if best.text != worst.text:
                made.append(
                    Preference.of(
                        best,
                        worst,
                        info={"chosen_score": best_score, "rejected_score": worst_score},
                    )
                )
        return made
