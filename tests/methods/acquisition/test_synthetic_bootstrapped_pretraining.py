"""Near documents make pairs, a copy learns to write one from the other, and what it writes is new."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from selfimprove.errors import DataError
from selfimprove.methods.acquisition import synthetic_bootstrapped_pretraining as sbp
from selfimprove.methods.engine.fake import Fake
from selfimprove.records import Checkpoint, Document, Rollout

TEXTS = ["the cat sat on the mat", "the cat sat on the rug", "quarterly earnings rose", "quarterly earnings fell"]


class Copying(Fake):
    """An engine that runs copies."""

    can = Fake.can | {"copies"}


class Learned:
    """Remembers what copies were trained on."""

    most = 4

    def __init__(self) -> None:
        self.rows: list[Rollout] = []

    @contextmanager
    def trained(self, start: Checkpoint, rows: Sequence[Rollout], schedule: Any) -> Iterator[Checkpoint]:
        self.rows += rows
        assert schedule.per_device_train_batch_size == len(rows) == 4
        yield Checkpoint(path="copy")


def test_pairs_by_hand() -> None:
    angle = np.array([0.0, 0.1, 0.2, 1.5])
    rows = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    assert sbp.nearest(rows, 1, 0.5, 0.999) == [(0, 1), (1, 0), (2, 1)]
    assert sbp.nearest(rows, 2, 0.5, 0.999) == [(0, 1), (0, 2), (1, 0), (1, 2), (2, 1), (2, 0)]
    assert sbp.nearest(rows, 2, 0.5, 0.99) == [(0, 2), (2, 0)]  # cos(.1) is .995: a copy
    assert sbp.nearest(rows[:1], 2, -1, 1) == sbp.nearest(rows[:0], 2, -1, 1) == []


def test_a_copy_learns_the_pairs_and_what_it_repeats_is_dropped(make_context: Callable) -> None:
    learned = Learned()
    table = {TEXTS[0]: {"the cat sat on the roof": 0.5, TEXTS[1]: 0.5}, TEXTS[2]: {"quarterly earnings vanished": 1.0}}
    given = make_context(Copying(table, TEXTS[3]))
    given = replace(given, policy=replace(given.policy, copies=learned))
    documents = [Document(text=text) for text in TEXTS]
    method = sbp.SyntheticBootstrappedPretraining(
        documents=60, words="{document}", vectors="ngrams", near=[0.3, 0.99], neighbours=1
    )
    made: Any = method.acquire(documents, given.held(method))
    taught = {(row.prompt.prompt[-1]["content"], row.text) for row in learned.rows}
    assert taught == {(TEXTS[a], TEXTS[b]) for a, b in ((0, 1), (1, 0), (2, 3), (3, 2))}
    assert {one.text for one in made[4:]} == {"the cat sat on the roof", "quarterly earnings vanished"}
    assert len(made) == 6 and {one.parents for one in made[4:]} == {(documents[0].id,), (documents[2].id,)}


def test_documents_that_have_nothing_in_common_are_said(make_context: Callable) -> None:
    method = sbp.SyntheticBootstrappedPretraining(vectors="ngrams", near=[0.98, 0.99])
    with pytest.raises(DataError, match=r"no two of 2 documents .*widen acquisition.synthetic"):
        method.acquire([Document(text="one"), Document(text="other")], make_context(Copying()))
    assert method.acquire([], make_context(Copying())) == []
