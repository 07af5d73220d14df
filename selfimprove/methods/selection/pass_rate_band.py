"""Keep the problems that the model solves sometimes: those whose mean reward lies in a band.

Idea: problems that are always solved teach nothing new; those that are never solved often have a wrong label or are too
  hard.
Survey: difficulty filters, section 3.2.1.
Paper: arXiv:2505.20347 (SeRL), Fang et al., 2025: 0.2 to 0.8; R-Zero, arXiv:2508.05004, has 0.3 to 0.8 in its code.
Algorithm:
  1. A problem's rate is the mean reward of its completions; completions without a reward do not count.
  2. Keep all completions of the problems with `low` <= rate <= `high`, in their order.
Differs: with a reward by votes the rate is the model's agreement with itself, as both papers use it, and not its
  accuracy. With few completions the rate is noisy: with 8, a problem solved half of the time falls outside 0.2-0.8 in
  7 % of cases.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from selfimprove.errors import RecipeError
from selfimprove.interfaces import Context, Selection
from selfimprove.records import Record, by_prompt
from selfimprove.registry import register


@register("pass_rate_band", paper="2505.20347")
@dataclass
class PassRateBand(Selection):
    looped: ClassVar[bool] = True
    low: float = 0.2
    """Lowest mean reward of a problem that is kept."""
    high: float = 0.8
    """Highest mean reward of a problem that is kept."""

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise RecipeError(f"selection.pass_rate_band: low {self.low} is above high {self.high}")

    def select(self, records: Sequence[Any], context: Context) -> Sequence[Record]:
        groups = by_prompt(one for one in records if one.reward is not None)
        rates = {group[0].prompt.id: sum(one.reward or 0.0 for one in group) / len(group) for group in groups}
        within = {name for name, rate in rates.items() if self.low - 1e-9 <= rate <= self.high + 1e-9}
        context.log.metric("pass_rate_band/problems", len(within))
        return [rollout for rollout in records if rollout.prompt.id in within]
