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
from selfimprove.interfaces import Context, Selection
from selfimprove.records import Record
from selfimprove.registry import register


@register("random")
@dataclass
class Random(Selection):
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
        wanted = round(self.share * len(records)) if self.rows is None else self.rows
        places = random.Random(context.seed).sample(range(len(records)), min(wanted, len(records)))
        return [records[place] for place in sorted(places)]
