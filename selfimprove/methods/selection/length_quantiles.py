"""Keep the records whose length lies between two quantiles, or only the longest.

Idea: the shortest and the longest records of a pool are mostly fragments, lists and runaway text; and the longest
  answers alone are a baseline that many scores do not beat.
Survey: one-shot scoring, section 3.2.1.
Paper: arXiv:2402.04833 (Long Is More for Alignment), Zhao et al., 2024: the 1,000 longest responses as a baseline.
Algorithm:
  1. The length of a record is that of the completion, of the chosen one of a pair, or of the whole text, in words.
  2. Drop completions that were cut off at the length limit.
  3. Keep the lengths between the quantiles `low` and `high`, both included; with `by_level` of each difficulty alone.
  4. With `longest: k`, keep the k longest of these, the earlier ones among equals. Return them in the given order.
Differs: the paper counts tokens; words and `characters` need no tokenizer. The quantiles are the project's choice, and
  the paper's baseline is `low: 0, high: 1, longest: 1000`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from selfimprove.bounds import bounded
from selfimprove.costs import Flow, Given
from selfimprove.errors import RecipeError
from selfimprove.interfaces import Arrays, Choice, Context, Pool, Portioned, chosen
from selfimprove.measures import ngrams
from selfimprove.problems.overlap import taught
from selfimprove.records import Document, Prompt, Record, Rollout
from selfimprove.registry import register


@register("length_quantiles", paper="2402.04833")
@dataclass
class LengthQuantiles(Portioned):
    consumes: ClassVar[Any] = Record
    produces: ClassVar[Any] = Record
    low: float = bounded(0.05, 0, 1)
    """Quantile of the shortest length to keep; 0 sets no bound."""
    high: float = bounded(0.95, 0, 1)
    """Quantile of the longest length to keep; 1 sets no bound."""
    longest: int | None = bounded(None, 0)
    """Keep only so many, the longest of these; null keeps all."""
    by_level: bool = False
    """Take the quantiles of each difficulty on its own, where the task tells it."""
    characters: bool = False
    """Count characters instead of words."""

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise RecipeError(f"selection.length_quantiles: low {self.low} is above high {self.high}")

    def gives(self, given: Given) -> Flow:
        came = given.flow
        most = came.records if self.longest is None else min(came.records, self.longest)
        return Flow(most, came.prompts, came.group)

    def select(self, records: Sequence[Any], context: Context) -> Sequence[Record]:
        return chosen(self, records, context)

    def read(self, records: Sequence[Any], known: Arrays) -> Arrays:
        import numpy as np

        said = [taught(record) for record in records]
        cut = np.array([isinstance(record, Rollout) and record.truncated for record in records], dtype=bool)
        sizes = np.array([len(text) if self.characters else len(text.split()) for text in said], dtype=np.int64)
        return {"lengths": np.where(cut, -1, sizes), "levels": ngrams.marks(map(_level, records))}

    def choose(self, read: Arrays, pool: Pool, context: Context) -> Choice:
        import numpy as np

        lengths = read["lengths"]
        levels = read["levels"] if self.by_level else np.zeros(pool.size, dtype=np.uint64)
        stay = np.zeros(pool.size, dtype=bool)
        for level in np.unique(levels):
            peers = (levels == level) & (lengths >= 0)
            if peers.any():
                low, high = np.quantile(lengths[peers], [self.low, self.high])
                stay |= peers & (lengths >= low) & (lengths <= high)
        places = np.flatnonzero(stay)
        if self.longest is not None:
            places = np.sort(places[np.argsort(-lengths[places], kind="stable")[: self.longest]])
        return Choice(stay=places.tolist(), score=("length", lengths))


def _level(record: Record) -> str:
    match record:
        case Document() | Prompt():
            return repr(record.info.get("level"))
        case _:
            return repr(record.prompt.info.get("level"))
