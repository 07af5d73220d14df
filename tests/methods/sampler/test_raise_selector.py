"""`raise_selector`: it learns which of two kinds of rows helps, and takes from each cluster in turn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from selfimprove.errors import DataError
from selfimprove.interfaces import Context
from selfimprove.methods.sampler.raise_selector import RaiseSelector, clustered, in_turn
from selfimprove.records import Prompt, Rollout
from selfimprove.training.steering import Steered


class TwoKinds:
    """Rows with even places have a high loss; training on them lowers the loss of the rows held back, others do not."""

    def __init__(self) -> None:
        self.reference = 5.0
        self.held: set[int] = set()

    def losses(self, places: Sequence[int]) -> list[float]:
        return [self.reference if place in self.held else 2.0 - place % 2 for place in places]

    def features(self, places: Sequence[int]) -> Any:
        import numpy

        return numpy.zeros((len(places), 2))

    def products(self, places: Sequence[int], others: Sequence[int]) -> list[list[float]]:
        raise AssertionError("it needs no gradients")

    def gains(self, places: Sequence[int], others: Sequence[int], learning_rate: float) -> list[float]:
        raise AssertionError("it takes no steps of its own")

    def train(self, places: Sequence[int]) -> None:
        self.reference -= 0.01 * sum(place % 2 == 0 for place in places)


def rows_of(n: int) -> list[Rollout]:
    prompts = [Prompt(prompt=[], key=str(i)) for i in range(n)]
    return [Rollout(prompt=one, completion=[{"role": "assistant", "content": "x"}]) for one in prompts]


def test_it_learns_which_kind_of_row_helps(make_context: Callable[..., Context]) -> None:
    weights, rows = TwoKinds(), rows_of(200)
    guide = Steered(RaiseSelector(candidates=40), make_context(), [row.prompt for row in rows], rows)
    guide.asks(weights)
    weights.held = set(guide.pool.state["held"])
    shares = []
    for _ in range(40):
        places = guide.step(8)
        weights.train(places)
        shares.append(sum(place % 2 == 0 for place in places) / 8)
        assert not weights.held & set(places)
    assert sum(shares[-20:]) / 20 > 0.65 > 0.5, "at random it would be half"


def test_a_step_takes_the_best_of_each_cluster_first() -> None:
    assert in_turn([5.0, 4.0, 3.0, 1.0], [0, 0, 0, 1], 2) == [0, 3]
    assert in_turn([5.0, 4.0, 3.0, 1.0], [0, 0, 0, 1], 3) == [0, 3, 1]


def test_clusters_are_those_that_are_apart() -> None:
    import numpy

    assert clustered(numpy.array([[0.0], [0.1], [9.0], [9.1], [0.2]]), 2) == [0, 0, 1, 1, 0]
    assert clustered(numpy.array([[1.0], [1.0]]), 2) == [0, 0]


def test_too_few_rows_are_said(make_context: Callable[..., Context]) -> None:
    rows = rows_of(16)
    with pytest.raises(DataError, match="holds back 16 rows, and there are 16"):
        Steered(RaiseSelector(), make_context(), [row.prompt for row in rows], rows)
