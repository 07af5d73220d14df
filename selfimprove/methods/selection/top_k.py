"""Keep the rows with the highest rewards, over all problems.

Idea: a reward that only ranks rows has no natural threshold; keep the top of the batch.
Survey: one-shot scoring, section 3.2.1.
Paper: arXiv:2304.06767 (RAFT), Dong et al., 2023.
Algorithm:
  1. Leave out rows without a reward.
  2. Keep the share `share` of the others with the highest rewards, or `rows` of them; the earlier one among equals.
  3. Return them in the given order.
Differs: RAFT ranks within a problem (threshold with `per_prompt`) or over the batch (this method). Rewards that depend
  on the problem, such as likelihoods, fill the top with easy problems.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from selfimprove.bounds import bounded
from selfimprove.costs import Flow, Given
from selfimprove.interfaces import Context, Selection
from selfimprove.records import Record
from selfimprove.registry import register


@register("top_k", paper="2304.06767")
@dataclass
class TopK(Selection):
    looped: ClassVar[bool] = True
    share: float = bounded(0.5, 0, 1)
    """Share of the rows with a reward to keep, if `rows` is null."""
    rows: int | None = bounded(None, 0)
    """Number of rows to keep."""

    def gives(self, given: Given) -> Flow:
        came = given.flow
        wanted = round(self.share * came.records) if self.rows is None else self.rows
        return Flow(min(wanted, came.records), came.prompts, came.group)

    def select(self, records: Sequence[Any], context: Context) -> Sequence[Record]:
        ranked = sorted((-r.reward, place) for place, r in enumerate(records) if r.reward is not None)
        wanted = round(self.share * len(ranked)) if self.rows is None else self.rows
        return [records[place] for place in sorted(place for _, place in ranked[:wanted])]
