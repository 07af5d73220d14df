"""Doubtful tokens by hand, and rows that are judged by copies that did not learn their problems."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest

from selfimprove.methods.engine.fake import Fake
from selfimprove.methods.selection.label_errors import LabelErrors, doubted
from selfimprove.records import Checkpoint, Rollout

SEEN: dict[str, set[str]] = {}


@dataclass
class Knows(Fake):
    """A right row has a probability of .8; a wrong one .1 where another has .9, and 1 for a copy that learned it."""

    can = Fake.can | {"copies"}

    def logprobs_of(
        self, checkpoint: Checkpoint, rollouts: Sequence[Rollout], statistic: str = "logprob"
    ) -> list[list[float]]:
        assert not {one.prompt.key for one in rollouts} & SEEN[checkpoint.path], "the copy has learned this problem"
        wrong = [one.text.startswith("bad") for one in rollouts]
        if statistic == "behind":
            return [[0.0, math.log(9) if bad else 0.0] for bad in wrong]
        return [[math.log(0.8), math.log(0.1 if bad else 0.8)] for bad in wrong]


class Trains:
    most = 1

    @contextmanager
    def trained(self, start: Checkpoint, rows: Sequence[Rollout], schedule: Any) -> Iterator[Checkpoint]:
        name = f"copy {len(SEEN)}"
        SEEN[name] = {one.prompt.key for one in rows}
        yield Checkpoint(path=name)


@pytest.mark.parametrize(("share", "kept"), [(None, 9), (0.5, 6)])
def test_wrong_rows_go(share: float | None, kept: int, make_context: Callable, make_rollout: Callable) -> None:
    keys = [f"{i}+{i}+{j}" for i in range(4) for j in range(3)]
    rows = [make_rollout(f"{'bad' if i % 4 == 0 else 'good'} {i}", key) for i, key in enumerate(keys)]
    context = make_context(Knows())
    method = LabelErrors(share=share, folds=3)
    found = method.select(rows, replace(context, policy=replace(context.policy, copies=Trains())).held(method))
    assert len(found) == kept and all(one.text.startswith("good") for one in found)


def test_doubt_by_hand() -> None:
    """The likeliest tokens have .9 and .7, so .8 is usual: .85 for another is doubt, .75 is not."""
    sure = [(math.log(0.9), 0.0), (math.log(0.7), 0.0)]
    rows = [sure, [(math.log(0.1), math.log(8.5))], [(math.log(0.1), math.log(7.5))], []]
    assert doubted(rows) == [False, True, False, False]
    assert doubted([]) == []
