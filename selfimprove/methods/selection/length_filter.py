"""Drop completions that were truncated, or whose length is out of bounds.

Idea: a truncated completion teaches the model not to stop; one far shorter than its peers often lacks a part.
Survey: one-shot scoring, section 3.2.1.
Paper: arXiv:2502.01612 (Self-Improving Transformers), Lee et al., 2025: the length filter (`shorter_than_longest`).
Algorithm:
  1. Drop completions that reached the length limit.
  2. Drop those shorter than `min_length` or longer than `max_length` characters.
  3. With `shorter_than_longest: t`, drop those more than t characters shorter than the longest of equal difficulty.
  4. With `off_mode: t`, drop those whose length differs by more than t characters from the most common length of equal
     difficulty.
Differs: lengths are in characters, so that the filter needs no tokenizer; on the tiny model these are tokens. The
  paper's code compares within a batch, here within all records of one level. `off_mode` is ours: with the paper's rule
  a single completion that is too long drops all right ones, and completions that are too long pass.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from selfimprove.interfaces import Arrays, Choice, Context, Pool, Portioned, chosen
from selfimprove.measures import ngrams
from selfimprove.records import Record
from selfimprove.registry import register


@register("length_filter", paper="2502.01612")
@dataclass
class LengthFilter(Portioned):
    min_length: int = 1
    """Shortest completion to keep, in characters."""
    max_length: int | None = None
    """Longest completion to keep, in characters; null sets no bound."""
    shorter_than_longest: int | None = None
    """Largest difference to the longest completion of its level, in characters; null sets no bound."""

    off_mode: int | None = None
    """Largest difference to the most common length of its level, in characters; null sets no bound."""

    def select(self, records: Sequence[Any], context: Context) -> Sequence[Record]:
        return chosen(self, records, context)

    def read(self, records: Sequence[Any], known: Arrays) -> Arrays:
        import numpy as np

        return {
            "lengths": np.array([-1 if r.truncated else len(r.text) for r in records], dtype=np.int64),
            "levels": ngrams.marks(repr(r.prompt.info.get("level")) for r in records),
        }

    def choose(self, read: Arrays, pool: Pool, context: Context) -> Choice:
        most = math.inf if self.max_length is None else self.max_length
        both = zip(read["lengths"].tolist(), read["levels"].tolist(), strict=True)
        rows = [(place, n, level) for place, (n, level) in enumerate(both) if max(0, self.min_length) <= n <= most]
        lengths: dict[int, list[int]] = {}
        for _, length, level in rows:
            lengths.setdefault(level, []).append(length)
        measures = {level: (max(peers), statistics.mode(peers)) for level, peers in lengths.items()}
        stay = [place for place, length, level in rows if self._usual(length, *measures[level])]
        return Choice(stay=stay, score=("length", read["lengths"]))

    def _usual(self, length: int, longest: int, commonest: int) -> bool:
        """Whether the length of a completion fits those of equal difficulty."""
        if self.shorter_than_longest is not None and longest - length > self.shorter_than_longest:
            return False
        return self.off_mode is None or abs(length - commonest) <= self.off_mode
