"""Keep the rows whose perplexity under the current model lies in a band.

Idea: what the model finds very likely teaches nothing, and what it finds very unlikely is often noise.
Survey: one-shot scoring, section 3.2.1.
Paper: arXiv:2309.04564 (When Less is More), Marion et al., 2023.
Algorithm:
  1. The perplexity of a row is exp of the mean negative log-probability of its completion's tokens, given the problem.
  2. Rank the rows by it. Keep the share `keep` that is lowest, highest, or, with `band: medium`, around the median.
  3. Return them in the given order.
Differs: the paper scores documents with a reference model that was trained on other data; here the reference is the
  model that the round starts from. Rows without a token are dropped. Perplexity differs by length and by kind of
  problem; `by_level` ranks the rows of each difficulty on their own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Flow, Given
from selfimprove.errors import RecipeError
from selfimprove.interfaces import Context, Selection
from selfimprove.needs import Needs
from selfimprove.records import Record
from selfimprove.registry import register

BANDS = ("low", "medium", "high")


@register("perplexity", paper="2309.04564")
@dataclass
class Perplexity(Selection):
    keep: float = bounded(0.5, 0, 1)
    """Share of the rows to keep."""
    band: str = "medium"
    """Which ones: low, medium or high."""
    by_level: bool = False
    """Rank the rows of each difficulty on their own, where the task tells it."""

    def __post_init__(self) -> None:
        if self.band not in BANDS:
            raise RecipeError(f"selection.perplexity.band={self.band} is none of {', '.join(BANDS)}")

    def needs(self) -> Needs:
        return Needs(statistics=("logprob",))

    def cost(self, given: Given) -> Cost:
        return Cost(scored=given.flow.records)

    def gives(self, given: Given) -> Flow:
        came = given.flow
        most = came.records if self.by_level else round(self.keep * came.records)  # each level is rounded on its own
        return Flow(most, came.prompts, came.group)

    def select(self, records: Sequence[Any], context: Context) -> Sequence[Record]:
        levels: dict[Any, list[tuple[float, int]]] = {}
        for place, row in enumerate(context.policy.logprobs_of(records) if records else ()):
            if row:
                level = records[place].prompt.info.get("level") if self.by_level else None
                levels.setdefault(level, []).append((-sum(row) / len(row), place))
        stay = [one for ranked in levels.values() for one in self._banded(sorted(ranked))]
        if stay:
            context.log.metric("perplexity/kept", math.exp(min(700.0, sum(loss for loss, _ in stay) / len(stay))))
        return [records[place] for place in sorted(place for _, place in stay)]

    def _banded(self, ranked: Sequence[tuple[float, int]]) -> Sequence[tuple[float, int]]:
        """The rows of the band among rows in ascending order."""
        wanted = round(self.keep * len(ranked))
        first = {"low": 0, "medium": (len(ranked) - wanted) // 2, "high": len(ranked) - wanted}[self.band]
        return ranked[first : first + wanted]
