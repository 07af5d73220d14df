"""Drop completions that were cut off, or whose length is out of bounds.

Idea: a completion that ran into the limit teaches never to stop; one far shorter than its peers has often lost a part.
Survey: one-shot scoring, section 3.2.1.
Paper: arXiv:2502.01612 (Self-Improving Transformers), Lee et al., 2025: the length filter (`shorter_than_longest`).
Algorithm:
  1. Drop completions that ended by the length limit.
  2. Drop those shorter than `min_length` or longer than `max_length` characters.
  3. With `shorter_than_longest: t`, drop those more than t characters shorter than the longest of equal difficulty.
  4. With `off_mode: t`, drop those whose length is more than t characters off the commonest one of equal difficulty.
Differs: lengths in characters of the text, so that the filter needs no tokenizer; on the tiny model these are tokens.
  The code of the paper compares within a batch, here within all records of one level. `off_mode` is ours: a single
  completion that is too long makes the paper's rule drop all right ones, and it lets those through that are too long.
"""

from __future__ import annotations

import statistics
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

    off_mode: int | None = None
    """How many characters off the commonest length of its level a completion may be; null is no bound."""

    def select(self, records: Sequence[Any], context: Context) -> Sequence[Record]:
        whole = [r for r in records if not r.truncated and len(r.text) >= self.min_length]
        if self.max_length is not None:
            whole = [r for r in whole if len(r.text) <= self.max_length]
        lengths: dict[Any, list[int]] = {}
        for r in whole:
            lengths.setdefault(r.prompt.info.get("level"), []).append(len(r.text))
        measures = {level: (max(peers), statistics.mode(peers)) for level, peers in lengths.items()}
        return [r for r in whole if self._usual(len(r.text), *measures[r.prompt.info.get("level")])]

    def _usual(self, length: int, longest: int, commonest: int) -> bool:
        """Whether a completion is as long as those of equal difficulty."""
        if self.shorter_than_longest is not None and longest - length > self.shorter_than_longest:
            return False
        return self.off_mode is None or abs(length - commonest) <= self.off_mode
