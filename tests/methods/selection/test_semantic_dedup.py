"""Of records with like vectors one stays, the one farthest from the center."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from selfimprove.methods.engine.fake import Fake
from selfimprove.methods.selection.semantic_dedup import SemanticDedup, alone
from selfimprove.records import Document


def test_alone_by_hand() -> None:
    rows = np.array([[1, 0], [0.6, 0.8], [0.8, 0.6], [0, 1]], dtype=np.float32)
    assert alone(rows, 0.9).tolist() == [True, True, False, True]  # the third has a cosine of .96 with the second
    assert alone(rows, 0.5).tolist() == [True, False, False, False]
    assert alone(rows[:0], 0.5).tolist() == []


def test_paraphrases_go_and_others_stay(make_context: Callable) -> None:
    """The fake engine's vectors count letters, so a text with its words in another order is a paraphrase."""
    words = ["apples and pears", "the king of spain", "zwölf boxes", "quick brown fox"]
    pool = [Document(text=text) for one in words for text in (one, " ".join(one.split()[::-1]))]
    context = make_context(Fake())
    found = SemanticDedup(clusters=1).select(pool, context)
    assert [{pool.index(one) // 2 for one in found}, len(found)] == [{0, 1, 2, 3}, 4]
    assert context.log.metrics["semantic_dedup/dropped"] == 4
