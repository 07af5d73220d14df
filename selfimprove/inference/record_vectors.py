"""Records as vectors of length 1, for selections that ask what resembles what.

`ngrams` counts characters and needs no model; `model` takes the mean of the last hidden states of the round's policy.
Hidden states of one model point in nearly one direction, so the mean over all records is taken away first
(All-but-the-Top, arXiv:1702.01417, without its second step); cosines then spread over -1 to 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from selfimprove.errors import RecipeError
from selfimprove.interfaces import Policy
from selfimprove.measures import ngram_vectors
from selfimprove.needs import Needs
from selfimprove.problems.overlap import text_of
from selfimprove.records import Record

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
