"""Doubtful tokens by hand, and rows that are judged by copies that did not learn their problems."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest

from selfimprove.methods.engine.fake import Fake
from selfimprove.methods.selection.label_errors import LabelErrors, Told, doubted
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
        told = {
            "logprob": [[math.log(0.8), math.log(0.1 if bad else 0.8)] for bad in wrong],
            "behind": [[0.0, math.log(9) if bad else 0.0] for bad in wrong],
            "token": [[1.0, 3.0 if bad else 2.0] for bad in wrong],
            "likeliest": [[1.0, 2.0] for _ in wrong],
        }
        return told[statistic]


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
    assert len(found) == kept and all(isinstance(one, Rollout) and one.text.startswith("good") for one in found)


def told(own: float, token: int, best: float = 0.0, likeliest: int | None = None) -> Told:
    best = max(own, best)
    return Told(math.log(own), math.log(best / own), token, token if likeliest is None else likeliest)


def test_doubt_by_hand() -> None:
    """Where rows have class 1 it is told with .9, .5 and .1, so .5 is usual, and not .7 as where it is the likeliest;
    of class 2 it is .8 and .2. Where another class is the likeliest, class 1 with .51 is doubt, class 2 with .45 not.
    """
    rows = [
        [told(0.9, 1), told(0.8, 2)],
        [told(0.5, 1), told(0.2, 2, 0.51, likeliest=1)],
        [told(0.1, 1, 0.45, likeliest=2)],
        [],
    ]
    assert doubted(rows) == [False, True, False, False]
    assert doubted([]) == []


def test_a_class_that_no_row_has_takes_the_mean_of_all() -> None:
    """All tokens are told with .6 on average: 9 with .61 is doubt, with .59 it is not."""
    sure = [told(0.8, 1), told(0.8, 2)]
    assert doubted([sure, [told(0.2, 1, 0.61, likeliest=9)]]) == [False, True]
    assert doubted([sure, [told(0.2, 1, 0.59, likeliest=9)]]) == [False, False]


def test_thresholds_are_those_of_confident_learning() -> None:
    """The example of a matrix of three classes, with thresholds and the confident joint worked out by hand.

    Given 0: .9, .7, .2; given 1: .8, .4; given 2: .6. Thresholds: .6, .6, .6. Confidently another: the third row of
    class 0, told 1 with .7. The second of class 1 is told 2 with .55, which is less than is usual, and stays.
    """
    rows = [
        *([told(0.9, 0)], [told(0.7, 0)], [told(0.2, 0, 0.7, likeliest=1)]),
        *([told(0.8, 1)], [told(0.4, 1, 0.55, likeliest=2)], [told(0.6, 2)]),
    ]
    assert doubted(rows) == [False, False, True, False, False, False]
