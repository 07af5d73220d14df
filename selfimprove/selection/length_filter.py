"""Drop completions that were cut off, or whose length is out of bounds.

Idea: a completion that ran into the limit teaches never to stop; one far shorter than its peers has often lost a part.
Survey: one-shot scoring, section 3.2.1.
Paper: arXiv:2502.01612 (Self-Improving Transformers), Lee et al., 2025: the length filter (`shorter_than_longest`).
Algorithm:
  1. Drop completions that ended by the length limit.
  2. Drop those shorter than `min_length` or longer than `max_length` characters.
  3. With `shorter_than_longest: t`, drop those more than t characters shorter than the longest of equal difficulty.
Differs: lengths in characters of the text, so that the filter needs no tokenizer; on the tiny model these are tokens.
  The code of the paper compares within a batch, here within all records of one level.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from selfimprove.interfaces import Context, Selection
from selfimprove.records import Record
from selfimprove.registry import register


@register("length_filter", paper="2502.01612")
@dataclass
class LengthFilter(Selection):
    min_length: int = 1
    """Characters of the shortest completion that is kept."""
    max_length: int | None = None
    """Characters of the longest completion that is kept; null is no bound."""
    shorter_than_longest: int | None = None
    """How many characters shorter than the longest of its level a completion may be; null is no bound."""

    def select(self, records: Sequence[Any], context: Context) -> Sequence[Record]:
        whole = [r for r in records if not r.truncated and len(r.text) >= self.min_length]
        if self.max_length is not None:
            whole = [r for r in whole if len(r.text) <= self.max_length]
        if self.shorter_than_longest is None:
            return whole
        longest: dict[Any, int] = {}
        for r in whole:
            level = r.prompt.info.get("level")
            longest[level] = max(longest.get(level, 0), len(r.text))
        return [r for r in whole if longest[r.prompt.info.get("level")] - len(r.text) <= self.shorter_than_longest]
