"""Pair the shortest of the good completions of a problem with the longest of the bad ones.

Idea: judges like long answers, so among answers of about equal score the short one is taken, and length cannot grow
  from round to round.
Survey: one-shot scoring, section 3.2.1; length bias, section 7.3.
Paper: arXiv:2407.19594 (Meta-Rewarding Language Models), Wu et al., 2024: length control.
Algorithm:
  1. Of a problem's scores take the highest, S+, and the lowest, S-.
  2. Chosen is the shortest completion with a score of at least (1 - rho) S+ + rho S-.
  3. Rejected is the longest completion with a score of at most (1 - rho) S- + rho S+.
  4. No pair where all scores are equal, or where both are the same text.
Differs: lengths are characters, so that no tokenizer is needed. The default of rho is our choice; from 1/2 on the two
  tiers overlap, and a pair may then prefer the lower score.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from selfimprove.bounds import bounded
from selfimprove.costs import Flow, Given
from selfimprove.interfaces import Context, Selection
from selfimprove.records import Preference, Record, Rollout
from selfimprove.registry import register


@register("length_tier", paper="2407.19594")
@dataclass
class LengthTier(Selection):
    consumes: ClassVar[Any] = Rollout
    produces: ClassVar[Any] = Preference
    rho: float = bounded(0.1, 0, 1)
    """Share of the range of a problem's scores that counts as good, and as bad: 0 is the best against the worst."""

    def gives(self, given: Given) -> Flow:
        return Flow(given.flow.prompts, given.flow.prompts)

    def select(self, records: Sequence[Any], context: Context) -> Sequence[Record]:
        groups: dict[str, list[tuple[float, Rollout]]] = {}
        for rollout in records:
            if rollout.reward is not None:
                groups.setdefault(rollout.prompt.id, []).append((rollout.reward, rollout))
        made = []
        for group in groups.values():
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
