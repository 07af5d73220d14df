"""Keep all records: the baseline for every selection.

Idea: no selection.
Survey: baselines of section 3.
Paper: none.
Algorithm:
  1. Return all records.
Differs: nothing to compare with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from selfimprove.interfaces import Arrays, Choice, Context, Pool, Portioned
from selfimprove.records import Record
from selfimprove.registry import register


@register("everything")
@dataclass
class Everything(Portioned):
    consumes: ClassVar[Any] = Record
    produces: ClassVar[Any] = Record

    def select(self, records: Sequence[Any], context: Context) -> Sequence[Record]:
        return records

    def read(self, records: Sequence[Any], known: Arrays) -> Arrays:
        return {}

    def choose(self, read: Arrays, pool: Pool, context: Context) -> Choice:
        return Choice(stay=range(pool.size))
