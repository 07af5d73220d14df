"""Keep the rollouts with a high enough score, at most a few per problem.

Idea: the rejection step of rejection sampling; the cap stops easy problems from filling the training set.
Survey: one-shot scoring, section 3.2.1.
Paper: arXiv:2312.06585 (ReST-EM), Singh et al., 2023: the reward filter and the cap per problem.
Algorithm:
  1. Drop rollouts without a score or with one below `min_score`.
  2. Of each problem keep the `per_prompt` best, the earlier one where scores are equal.
Differs: none known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from selfimprove.costs import Flow, Given
from selfimprove.interfaces import Context, Selection
from selfimprove.records import Record, Rollout
from selfimprove.registry import register


@register("threshold", paper="2312.06585")
@dataclass
class Threshold(Selection):
    min_score: float = 1.0
    """Lowest score that is kept."""
    per_prompt: int | None = None
    """Most rollouts kept of one problem; null keeps all."""

    def gives(self, given: Given) -> Flow:
        came = given.flow
        if self.per_prompt is None:
            return came
        return Flow(min(came.records, came.prompts * self.per_prompt), came.prompts, min(came.group, self.per_prompt))

    def select(self, records: Sequence[Any], context: Context) -> Sequence[Record]:
        passed = [r for r in records if r.reward is not None and r.reward >= self.min_score - 1e-9]
        if self.per_prompt is None:
            return passed
        groups: dict[str, list[tuple[float, int, Rollout]]] = {}
        for place, rollout in enumerate(passed):
            groups.setdefault(rollout.prompt.key, []).append((-rollout.reward, place, rollout))
        best = [one for group in groups.values() for one in sorted(group, key=lambda o: o[:2])[: self.per_prompt]]
        return [rollout for _, _, rollout in sorted(best, key=lambda one: one[1])]
