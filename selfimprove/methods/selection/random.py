"""Keep a random share of the rows: the baseline with the same amount of data.

Idea: a useful selection must beat a random one of the same size.
Survey: baselines of section 3.
Paper: none.
Algorithm:
  1. Draw `share` of the rows, or `rows` of them, without repeats, from the round's seed.
  2. Keep them in the given order.
Differs: nothing to compare with.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from selfimprove.bounds import bounded
from selfimprove.costs import Flow, Given
from selfimprove.interfaces import Arrays, Choice, Context, Pool, Portioned, chosen
from selfimprove.records import Record
from selfimprove.registry import register


@register("random")
@dataclass
class Random(Portioned):
    consumes: ClassVar[Any] = Record
    produces: ClassVar[Any] = Record
    share: float = bounded(0.5, 0, 1)
    """Share of the rows to keep, if `rows` is null."""
    rows: int | None = bounded(None, 0)
    """Number of rows to keep."""

    def gives(self, given: Given) -> Flow:
        came = given.flow
        wanted = round(self.share * came.records) if self.rows is None else self.rows
        return Flow(min(wanted, came.records), came.prompts, came.group)

    def select(self, records: Sequence[Any], context: Context) -> Sequence[Record]:
        return chosen(self, records, context)

    def read(self, records: Sequence[Any], known: Arrays) -> Arrays:
        return {}

    def choose(self, read: Arrays, pool: Pool, context: Context) -> Choice:
        wanted = round(self.share * pool.size) if self.rows is None else self.rows
        return Choice(stay=sorted(random.Random(context.seed).sample(range(pool.size), min(wanted, pool.size))))
