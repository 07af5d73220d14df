"""`mates`: a fit that predicts, and rows that help are kept while those that harm are not."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from selfimprove.errors import DataError
from selfimprove.interfaces import Context
from selfimprove.methods.sampler.mates import Mates, fitted
from selfimprove.records import Prompt, Rollout
from selfimprove.training.steering import Steered


class Influences:
    """Weights for which a step on a row helps by a noisy line through its two features."""

    def __init__(self, rows: int) -> None:
        source = random.Random(1)
        self.seen = [[source.gauss(0, 1), source.gauss(0, 1)] for _ in range(rows)]
        self.true = [2 * one - other + source.gauss(0, 0.5) for one, other in self.seen]
        self.probed = 0

    def losses(self, places: Sequence[int]) -> list[float]:
        return [1.0] * len(places)

    def products(self, places: Sequence[int], others: Sequence[int]) -> list[list[float]]:
        raise AssertionError("it takes steps")

    def gains(self, places: Sequence[int], others: Sequence[int], learning_rate: float) -> list[float]:
        self.probed += len(places)
        return [self.true[place] for place in places]

    def features(self, places: Sequence[int]) -> Any:
        import numpy

        return numpy.array([self.seen[place] for place in places])


def test_predictions_rank_what_was_not_probed_and_a_shuffled_target_does_not() -> None:
    import numpy

    weights = Influences(300)
    described, true = numpy.array(weights.seen), numpy.array(weights.true)
    found = fitted(described[:40], true[:40], 1.0)(described[40:])
    shuffled = true[:40].tolist()
    random.Random(0).shuffle(shuffled)
    control = fitted(described[:40], numpy.array(shuffled), 1.0)(described[40:])
    assert rank(found, true[40:]) > 0.8 > 0.3 > abs(rank(control, true[40:]))


def rank(one: Any, other: Any) -> float:
    """Spearman's correlation."""
    import numpy

    orders = [numpy.argsort(numpy.argsort(numpy.array(values))) for values in (one, other)]
    return float(numpy.corrcoef(orders[0], orders[1])[0, 1])


def test_the_kept_rows_help_and_are_chosen_anew_after_some_steps(make_context: Callable[..., Context]) -> None:
    weights = Influences(120)
    prompts = [Prompt(prompt=[], key=str(i)) for i in range(120)]
    rows = [Rollout(prompt=one, completion=[{"role": "assistant", "content": "x"}]) for one in prompts]
    guide = Steered(Mates(every=3), make_context(), prompts, rows)
    guide.asks(weights)
    steps = [guide.step(5) for _ in range(7)]
    assert weights.probed == 3 * 32
    held = set(guide.pool.state["held"])
    trained = [place for step in steps for place in step]
    assert not held & set(trained) and len(guide.pool.state["kept"]) == round(0.2 * 104)
    mean = sum(weights.true) / 120
    assert sum(weights.true[place] for place in trained) / len(trained) > mean + 1.0
    with pytest.raises(DataError, match="holds back 16 rows, and there are 17"):
        Steered(Mates(), make_context(), prompts[:17], rows[:17])
