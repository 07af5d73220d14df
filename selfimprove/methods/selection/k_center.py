"""Keep records so that each record of the pool is near to a kept one.

Idea: a pool is covered when nothing in it is far from what is trained on; copies and common kinds need few records.
Survey: one-shot scoring by diversity, section 3.2.1.
Paper: arXiv:1708.00489 (core-set), Sener and Savarese, 2017: greedy k-center, by Gonzalez, 1985.
Algorithm:
  1. The vector of a record is that of all its text apart from system messages, of length 1.
  2. The first choice is the record nearest to the mean of all.
  3. Choose the record whose nearest chosen one is farthest, until `share` of the records are chosen.
  4. Return them in the given order.
Differs: the paper starts from the labelled data and uses the last layer of a network in training. What is farthest may
  be noise: filter first. Distances are looked up lazily, with the same result, so 100,000 records take minutes.
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


@register("k_center", paper="1708.00489")
@dataclass
class KCenter(Selection):
    consumes: ClassVar[Any] = Record
    produces: ClassVar[Any] = Record
    share: float = bounded(0.5, 0, 1)
    """Share of the records to keep."""
    vectors: str = "ngrams"
    """Vectors of the texts: `ngrams` of characters, without a model, or the `model`'s own hidden states."""

    def __post_init__(self) -> None:
        record_vectors.check(self.vectors, "selection.k_center.vectors")

    def needs(self) -> Needs:
        return record_vectors.needs(self.vectors)

    def gives(self, given: Given) -> Flow:
        came = given.flow
        return Flow(round(self.share * came.records), came.prompts, came.group)

    def select(self, records: Sequence[Any], context: Context) -> Sequence[Record]:
        order = ranks.by_id(records)
        rows = record_vectors.vectors([records[place] for place in order], context.policy, self.vectors)
        chosen = spread.k_center(rows, round(self.share * len(records)))
        return ranks.kept(records, [order[place] for place in chosen])
