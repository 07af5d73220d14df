"""Mix rows of earlier rounds into this round's rows.

Idea: a model that trains only on its newest samples forgets and loses diversity; a share of older rows prevents this.
Survey: mixing old and new data, section 3.3; model collapse, section 7.
Paper: arXiv:2404.01413 (Is Model Collapse Inevitable?), Gerstgrasser et al., 2024: accumulate, do not replace.
Algorithm:
  1. The store holds the input rows of this method from every earlier round.
  2. Draw rows from it, without repeats, until they are the share `share` of the result, or all rows if it has fewer.
  3. Return this round's rows, then the drawn ones; add this round's rows to the store.
Differs: the paper keeps everything, as sft does with `data: all_rounds`; this method works with every optimizer and
  with a share. The default share is our choice.
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
    looped: ClassVar[bool] = True
    share: float = bounded(0.25, 0, below=1)
    """Share of the result that comes from earlier rounds."""

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
