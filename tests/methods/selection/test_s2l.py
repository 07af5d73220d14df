"""Kinds of learning get equal parts of what is kept, so rare ones come up; by hand and with a fake that learns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from selfimprove.methods.engine.fake import Fake
from selfimprove.methods.selection.s2l import S2l, balanced
from selfimprove.records import Checkpoint, Rollout


@dataclass
class Learns(Fake):
    """After k steps a row `fast` has a loss of 4 / k, a row `slow` one of 4; one without text has no token."""

    can = Fake.can | {"copies"}

    def logprobs_of(
        self, checkpoint: Checkpoint, rollouts: Sequence[Rollout], statistic: str = "logprob"
    ) -> list[list[float]]:
        steps = int(checkpoint.path)
        return [[-4.0 / (steps if one.text.startswith("fast") else 1)] if one.text else [] for one in rollouts]


class Trains:
    most = 1

    @contextmanager
    def trained(self, start: Checkpoint, rows: Sequence[Rollout], schedule: Any) -> Iterator[Checkpoint]:
        assert start.path == "first" and len(rows) == 41
        yield Checkpoint(path=str(schedule.max_steps))


def test_rare_kinds_come_up_to_an_equal_share(make_context: Callable, make_rollout: Callable) -> None:
    """36 of 40 rows are fast; of 8 that stay half are slow. The row without a token is a cluster of its own."""
    texts = [*(f"fast{i}" for i in range(36)), *(f"slow{i}" for i in range(4)), ""]
    context = make_context(Learns())
    context = replace(context, start=Checkpoint(path="first"), policy=replace(context.policy, copies=Trains()))
    method = S2l(share=8 / 41, clusters=3, max_steps=4, checkpoints=2)
    found = method.select([make_rollout(text) for text in texts], context.held(method))
    assert sum(one.text.startswith("slow") for one in found) == 4 and len(found) == 8
    assert context.log.metrics["s2l/loss_after"] < context.log.metrics["s2l/loss_before"]


def test_the_balance_by_hand() -> None:
    own = np.array([0] * 3 + [1] * 10 + [2] * 30 + [3] * 2)
    chosen = balanced(own, 15, 0)
    assert np.bincount(own[chosen], minlength=4).tolist() == [3, 6, 6, 0] and len(set(chosen)) == 15
    assert sorted(balanced(own, 45, 0)) == list(range(45)), "the clusters of two rows fill up"
    assert balanced(own, 0, 0) == [] and len(balanced(np.array([0, 1]), 1, 0)) == 1
