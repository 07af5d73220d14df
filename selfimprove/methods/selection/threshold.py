"""Keep the rollouts with a high enough reward, at most a few per problem.

Idea: the rejection step of rejection sampling; the cap keeps easy problems from filling the training set.
Survey: one-shot scoring, section 3.2.1.
Paper: arXiv:2312.06585 (ReST-EM), Singh et al., 2023: the reward filter and the cap per problem.
Algorithm:
  1. Drop rollouts without a reward or with one below `min_score`.
  2. Keep the `per_prompt` best of each problem, the earlier one among equals.
Differs: none known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from selfimprove.costs import Flow, Given
from selfimprove.interfaces import Context, Selection
from selfimprove.records import Record, Rollout
from selfimprove.registry import register


@register("threshold", paper="2312.06585")
@dataclass
class Threshold(Selection):
    looped: ClassVar[bool] = True
    min_score: float = 1.0
    """Lowest reward to keep."""
    per_prompt: int | None = None
    """Most rollouts to keep per problem; null keeps all."""

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
