"""The first of nearly equal records is kept, of every kind of record."""

from __future__ import annotations

from collections.abc import Callable

from selfimprove.methods.selection.minhash_dedup import MinhashDedup
from selfimprove.records import Document

TEXT = " ".join(f"word{i}" for i in range(60))


def test_near_copies_of_documents_go(make_context: Callable) -> None:
    near, far = TEXT.replace("word59", "other"), TEXT.replace("word2", "thing")  # the second changes 12 words
    offered = [Document(text=text) for text in (TEXT, near, far, TEXT)]
    context = make_context()
    assert list(MinhashDedup().select(offered, context)) == [offered[0], offered[2]]
    assert context.log.metrics["minhash_dedup/dropped"] == 2
    assert len(MinhashDedup(similarity=1.0).select(offered, context)) == 3


def test_what_was_asked_counts_too(make_context: Callable, make_rollout: Callable) -> None:
    offered = [
        make_rollout(TEXT, "1+2"),
        make_rollout(TEXT, "1+2"),
        make_rollout("3#3", "1+2"),
        make_rollout("3#3", "2+1"),
    ]
    assert list(MinhashDedup().select(offered, make_context())) == [offered[0], *offered[2:]]
