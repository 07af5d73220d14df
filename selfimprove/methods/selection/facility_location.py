"""Keep the records that represent the whole pool best: each record counts by its most similar kept one.

Idea: unlike k-center, the sum of similarities asks for what is typical, so one outlier is worth little.
Survey: one-shot scoring by diversity, section 3.2.1.
Paper: arXiv:2402.00530 (Superfiltering, its step for diversity), Li et al., 2024; greedy by Nemhauser et al., 1978.
Algorithm:
  1. The vector of a record is that of all its text apart from system messages, of length 1; the similarity of two is
     (1 + cosine) / 2.
  2. Choose the record that adds most to the sum, over all records, of the similarity to the nearest chosen one.
  3. Repeat until `share` of the records are chosen; return them in the given order.
Differs: the paper applies it after a score, to embeddings of MiniLM: put a score before it in the chain. Gains are
  looked up lazily, with the same result. With more than `over` records the sum runs over so many of them, drawn at
  random; all can be chosen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from selfimprove.bounds import bounded
from selfimprove.costs import Flow, Given
from selfimprove.inference import record_vectors
from selfimprove.interfaces import Context, Selection
from selfimprove.measures import ranks, spread
from selfimprove.needs import Needs
from selfimprove.records import Record
from selfimprove.registry import register


@register("facility_location", paper="2402.00530")
@dataclass
class FacilityLocation(Selection):
    consumes: ClassVar[Any] = Record
    produces: ClassVar[Any] = Record
    share: float = bounded(0.5, 0, 1)
    """Share of the records to keep."""
    vectors: str = "ngrams"
    """Vectors of the texts: `ngrams` of characters, without a model, or the `model`'s own hidden states."""
    over: int = bounded(1024, 1)
    """Most records that the sum runs over."""

    def __post_init__(self) -> None:
        record_vectors.check(self.vectors, "selection.facility_location.vectors")

    def needs(self) -> Needs:
        return record_vectors.needs(self.vectors)

    def gives(self, given: Given) -> Flow:
        came = given.flow
        return Flow(round(self.share * came.records), came.prompts, came.group)

    def select(self, records: Sequence[Any], context: Context) -> Sequence[Record]:
        import numpy as np

        order = ranks.by_id(records)
        rows = record_vectors.vectors([records[place] for place in order], context.policy, self.vectors)
        over = rows
        if len(rows) > self.over:
            over = rows[np.sort(np.random.default_rng(context.seed).permutation(len(rows))[: self.over])]
        chosen = spread.facility_location(rows, round(self.share * len(records)), over)
        return ranks.kept(records, [order[place] for place in chosen])
