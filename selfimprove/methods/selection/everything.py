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

from selfimprove.interfaces import Context, Selection
from selfimprove.records import Record
from selfimprove.registry import register


@register("everything")
@dataclass
class Everything(Selection):
    consumes: ClassVar[Any] = Record
    produces: ClassVar[Any] = Record

    def select(self, records: Sequence[Any], context: Context) -> Sequence[Record]:
        return records
