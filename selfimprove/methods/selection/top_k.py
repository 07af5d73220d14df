"""Keep the rows with the highest scores, over all problems.

Idea: a score that is a ranking and not a mark has no threshold; take the top of the batch.
Survey: one-shot scoring, section 3.2.1.
Paper: arXiv:2304.06767 (RAFT), Dong et al., 2023.
Algorithm:
  1. Rows without a score are left out.
  2. Keep the `share` of the others with the highest scores, or `rows` of them; the earlier one where scores are equal.
  3. Pass them on in the order they came.
Differs: RAFT ranks within a problem, which is threshold with `per_prompt`, or over the batch, which is this. Scores
  that depend on the problem, as likelihoods do, fill the top with easy problems.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from selfimprove.bounds import bounded
from selfimprove.costs import Flow, Given
from selfimprove.interfaces import Context, Selection
from selfimprove.records import Record
from selfimprove.registry import register


@register("top_k", paper="2304.06767")
@dataclass
class TopK(Selection):
    share: float = bounded(0.5, 0, 1)
    """Share of the rows with a score that is kept, where `rows` is null."""
    rows: int | None = bounded(None, 0)
    """Number of rows that are kept."""

    def gives(self, given: Given) -> Flow:
        came = given.flow
        wanted = round(self.share * came.records) if self.rows is None else self.rows
        return Flow(min(wanted, came.records), came.prompts, came.group)

    def select(self, records: Sequence[Any], context: Context) -> Sequence[Record]:
        ranked = sorted((-r.reward, place) for place, r in enumerate(records) if r.reward is not None)
        wanted = round(self.share * len(ranked)) if self.rows is None else self.rows
        return [records[place] for place in sorted(place for _, place in ranked[:wanted])]
