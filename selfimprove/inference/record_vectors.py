"""Records as vectors of length 1, for selections that ask what resembles what.

`ngrams` counts characters and needs no model; `model` takes the mean of the last hidden states of the round's policy.
Hidden states of one model point in nearly one direction, so the mean over all records is taken away first
(All-but-the-Top, arXiv:1702.01417, without its second step); cosines then spread over -1 to 1.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from selfimprove.bounds import bounded
from selfimprove.costs import Flow, Given
from selfimprove.errors import RecipeError
from selfimprove.interfaces import Context, Policy, Selection
from selfimprove.measures import ngram_vectors, ranks
from selfimprove.needs import Needs
from selfimprove.problems.overlap import text_of
from selfimprove.records import Record
from selfimprove.registry import name_of

KINDS = ("ngrams", "model")


def check(kind: str, option: str) -> None:
    """Whether there are such vectors.

    Raises:
        RecipeError: there are not.
    """
    if kind not in KINDS:
        raise RecipeError(f"{option}={kind} is none of {', '.join(KINDS)}")


def needs(kind: str) -> Needs:
    """What these vectors need."""
    return Needs(engine=("embed",) if kind == "model" else ())


def vectors(records: Sequence[Record], policy: Policy, kind: str) -> Any:
    """(records, width) in float32; records of equal text have equal vectors."""
    import numpy as np

    texts = [text_of(record) for record in records]
    if kind == "ngrams":
        return ngram_vectors.embed(texts)
    rows = np.asarray(policy.embed(texts), dtype=np.float32) if texts else np.zeros((0, 1), dtype=np.float32)
    rows = rows - rows.mean(0, dtype=np.float64).astype(np.float32) if len(rows) else rows
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)


@dataclass
class Covering(Selection):
    """A selection that keeps a share of the records by their vectors alone; subclasses say which."""

    consumes: ClassVar[Any] = Record
    produces: ClassVar[Any] = Record
    share: float = bounded(0.5, 0, 1)
    """Share of the records to keep."""
    vectors: str = "ngrams"
    """Vectors of the texts: `ngrams` of characters, without a model, or the `model`'s own hidden states."""

    def __post_init__(self) -> None:
        check(self.vectors, f"selection.{name_of(self)}.vectors")

    def needs(self) -> Needs:
        return needs(self.vectors)

    def gives(self, given: Given) -> Flow:
        came = given.flow
        return Flow(round(self.share * came.records), came.prompts, came.group)

    def select(self, records: Sequence[Any], context: Context) -> Sequence[Record]:
        order = ranks.by_id(records)
        rows = vectors([records[place] for place in order], context.policy, self.vectors)
        places = self.covering(rows, round(self.share * len(records)), context.seed)
        return ranks.kept(records, [order[place] for place in places])

    @abstractmethod
    def covering(self, rows: Any, wanted: int, seed: int) -> Sequence[int]:
        """The places of the wanted ones of the vectors (records, width)."""
