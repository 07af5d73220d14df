"""Mix rows that earlier rounds kept into this round's.

Idea: a model that trains on its newest samples alone forgets and narrows; a share of older rows keeps it in place.
Survey: mixing old and new data, section 3.3; model collapse, section 7.
Paper: arXiv:2404.01413 (Is Model Collapse Inevitable?), Gerstgrasser et al., 2024: accumulate, do not replace.
Algorithm:
  1. The store holds what every earlier round gave to this method.
  2. Draw from it, without repeats, so many rows that they are `share` of the result; all where it has fewer.
  3. Pass on this round's rows, then the drawn ones; this round's join the store for the next.
Differs: the paper keeps everything, as sft with `data: all_rounds` does; this works with every optimizer and with a
  share. The default share is our choice.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from selfimprove.bounds import bounded
from selfimprove.costs import Flow, Given
from selfimprove.interfaces import Context, Selection
from selfimprove.records import Record, read_records, write_records
from selfimprove.registry import register

STORE = "replay.jsonl"


@register("replay", paper="2404.01413")
@dataclass
class Replay(Selection):
    consumes: ClassVar[Any] = Record
    produces: ClassVar[Any] = Record
    share: float = bounded(0.25, 0, below=1)
    """Share of the result that earlier rounds give."""

    def gives(self, given: Given) -> Flow:
        came = given.flow
        earlier = min((given.round - 1) * came.records, round(self.share / (1 - self.share) * came.records))
        return Flow(came.records + earlier, came.prompts + earlier, came.group + earlier)

    def select(self, records: Sequence[Any], context: Context) -> Sequence[Record]:
        before = context.previous / STORE if context.previous else None
        store = read_records(before) if before and before.exists() else []
        write_records(context.folder / STORE, [*store, *records])
        wanted = min(len(store), round(self.share / (1 - self.share) * len(records)))
        return [*records, *random.Random(context.seed).sample(store, wanted)]
