"""Keep the rows of the highest instruction-following difficulty under a smaller or earlier model, spread out.

Idea: weak and strong models agree on which instructions are difficult, so a small one can choose.
Survey: one-shot scoring by likelihood and diversity, section 3.2.1.
Paper: arXiv:2402.00530 (Superfiltering), Li et al., 2024.
Algorithm:
  1. IFD is PPL(A|Q) / PPL(A), the ratio of the answer's perplexities after its problem and alone, under the weights
     `by`. Drop rows with an IFD of 1 or more.
  2. Keep the rows with the highest IFD, at most `first` of all.
  3. Of these choose `share` of all rows by facility location on vectors of their texts (the paper's +D); with
     `share` equal to `first` none is left to choose.
Differs: the paper scores with GPT-2 (124 million weights) and takes embeddings of MiniLM; `by: start` are the weights
  of round 0. See ifd for a wrong answer, and for tokenizers without a start token.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Flow, Given
from selfimprove.errors import RecipeError
from selfimprove.inference import record_vectors, unprompted
from selfimprove.interfaces import Context, Selection
from selfimprove.measures import ranks, spread
from selfimprove.needs import Needs
from selfimprove.records import Checkpoint, Record
from selfimprove.registry import register


@register("superfiltering", paper="2402.00530")
@dataclass
class Superfiltering(Selection):
    by: str = "start"
    """The weights that score: `start`, those of round 0, or the folder of a smaller model."""
    first: float = bounded(0.2, 0, 1)
    """Share of the rows that the score keeps at most."""
    share: float = bounded(0.1, 0, 1)
    """Share of the rows to keep at most."""
    alone: str = "start"
    """What an answer without its problem follows: the tokenizer's `start` token, or the `form` of an empty problem."""
    vectors: str = "ngrams"
    """Vectors of the texts: `ngrams` of characters, without a model, or the `model`'s own hidden states."""

    def __post_init__(self) -> None:
        unprompted.check(self.alone, "selection.superfiltering.alone")
        record_vectors.check(self.vectors, "selection.superfiltering.vectors")
        if self.share > self.first:
            raise RecipeError(f"selection.superfiltering.share={self.share} exceeds first={self.first}")

    def needs(self) -> Needs:
        return unprompted.needs(self.alone) + record_vectors.needs(self.vectors)

    def cost(self, given: Given) -> Cost:
        return Cost(scored=2 * given.flow.records)

    def gives(self, given: Given) -> Flow:
        came = given.flow
        return Flow(round(self.share * came.records), came.prompts, came.group)

    def select(self, records: Sequence[Any], context: Context) -> Sequence[Record]:
        weights = context.start if self.by == "start" else Checkpoint(path=self.by)
        scorer = replace(context.policy, checkpoint=weights)
        pairs = unprompted.losses(records, scorer, context.roles, self.alone, "selection.superfiltering.alone")
        scores = [None if pair is None else math.exp(min(700.0, pair[0] - pair[1])) for pair in pairs]
        fits = [score if score is not None and score < 1 else None for score in scores]
        some = ranks.highest(records, fits, round(self.first * len(records)))
        wanted = round(self.share * len(records))
        if len(some) <= wanted:
            return some
        order = ranks.by_id(some)
        rows = record_vectors.vectors([some[place] for place in order], context.policy, self.vectors)
        return ranks.kept(some, [order[place] for place in spread.facility_location(rows, wanted)])
