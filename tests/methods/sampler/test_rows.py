"""Samplers of rows, on weights that are a table of losses and products: what they choose, by hand."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import pytest

from selfimprove import registry
from selfimprove.errors import DataError, RecipeError
from selfimprove.interfaces import ROWS, Context, Sampler, SamplerPool
from selfimprove.methods.sampler.greats import Greats, greedy
from selfimprove.methods.sampler.rho_loss import RhoLoss
from selfimprove.methods.sampler.spaced_leitner import SpacedLeitner
from selfimprove.records import Prompt, Rollout
from selfimprove.training.steering import Steered

NAMES = [name for name in registry.names("sampler") if registry.find("sampler", name).method.chooses == ROWS]


class Table:
    """Weights whose answers are given; training a row lowers its loss by a tenth unless it is noise."""

    def __init__(self, losses: Sequence[float], noise: Sequence[int] = ()) -> None:
        self.now, self.noise, self.looks = list(losses), set(noise), 0

    def losses(self, places: Sequence[int]) -> list[float]:
        self.looks += len(places)
        return [self.now[place] for place in places]

    def products(self, places: Sequence[int], others: Sequence[int]) -> list[list[float]]:
        return [[float(place % 2 == other % 2) for other in others] for place in places]

    def gains(self, places: Sequence[int], others: Sequence[int], learning_rate: float) -> list[float]:
        return [self.now[place] * learning_rate for place in places]

    def features(self, places: Sequence[int]) -> Any:
        import numpy

        return numpy.array([[self.now[place], 1.0] for place in places])

    def train(self, places: Sequence[int]) -> None:
        for place in set(places) - self.noise:
            self.now[place] *= 0.5


@pytest.fixture
def guided(make_context: Callable[..., Context]) -> Callable[..., Steered]:
    """`guided(sampler, table)`: a sampler on as many rows as the table has."""

    def make(sampler: Sampler, table: Table) -> Steered:
        prompts = [Prompt(prompt=[{"role": "user", "content": str(i)}], key=str(i)) for i in range(len(table.now))]
        rows = [Rollout(prompt=one, completion=[{"role": "assistant", "content": one.key}]) for one in prompts]
        guide = Steered(sampler, make_context(), prompts, rows)
        guide.asks(table)
        return guide

    return make


def plain(name: str) -> Sampler:
    """A sampler that prepares nothing with a model."""
    return RhoLoss(irreducible=False) if name == "rho_loss" else registry.find("sampler", name).method()


@pytest.mark.parametrize("name", NAMES)
def test_a_training_that_continues_from_its_state_chooses_the_same(name: str, guided: Callable) -> None:
    def run(guide: Steered, table: Table, steps: int) -> list[list[int]]:
        chosen = []
        for _ in range(steps):
            chosen.append(guide.step(4))
            table.train(chosen[-1])
        return chosen

    values = [random.Random(i).uniform(0.1, 3) for i in range(30)]
    table = Table(values)
    whole = run(guided(plain(name), table), table, 9)
    other = Table(values)
    first = guided(plain(name), other)
    begun = run(first, other, 4)
    first.step(4)  # chosen, and then stopped before it was trained
    again = guided(plain(name), other)
    again.put_back(json.loads(json.dumps(first.kept())))
    assert begun + run(again, other, 5) == whole
    assert all(len(step) == 4 and set(step) <= set(range(30)) for step in whole)


def test_rho_loss_takes_what_can_still_be_learned(guided: Callable) -> None:
    source = random.Random(0)
    kinds = ["new"] * 40 + ["known"] * 30 + ["noise"] * 30
    losses = {"new": 2.0, "known": 0.1, "noise": 3.0}
    table = Table([losses[kind] * source.uniform(0.9, 1.1) for kind in kinds], noise=range(70, 100))
    less = [{"new": 0.2, "known": 0.1, "noise": 2.9}[kind] for kind in kinds]
    counts = {}
    for irreducible in (less, [0.0] * 100):
        guide = guided(RhoLoss(candidates=40, irreducible=False), table)
        guide.pool.state["irreducible"] = irreducible
        counts[sum(irreducible) > 0] = Counter(kinds[place] for _ in range(5) for place in guide.step(8))
    assert counts[True]["new"] > 35 and counts[True]["noise"] * 3 <= counts[False]["noise"]
    assert counts[False]["noise"] == 40, "without the irreducible loss the largest losses train, and that is noise"


def test_the_irreducible_loss_is_that_of_the_copy_that_did_not_see_the_row(make_context: Callable) -> None:
    class Copying:
        """A policy whose copies give each row they did not see the number of rows that they saw as loss."""

        trained: ClassVar[list[set[str]]] = []

        def held(self, method: Any) -> Copying:
            return self

        @contextmanager
        def adapted(self, rows: Sequence[Rollout], schedule: Any) -> Iterator[Copying]:
            self.trained.append({row.prompt.key for row in rows})
            yield self

        def logprobs_of(self, rows: Sequence[Rollout]) -> list[list[float]]:
            assert not self.trained[-1] & {row.prompt.key for row in rows}
            return [[-2.0 * len(self.trained[-1]), 0.0] for _ in rows]

    prompts = [Prompt(prompt=[], key=str(i)) for i in range(5)]
    rows = [Rollout(prompt=one, completion=[{"role": "assistant", "content": one.key}]) for one in prompts]
    guide = Steered(RhoLoss(), make_context(policy=Copying()), prompts, rows)
    assert sorted(guide.pool.state["irreducible"]) == [2.0, 2.0, 2.0, 3.0, 3.0], "the mean over two tokens each"
    assert set.union(*Copying.trained) == set("01234") and sum(map(len, Copying.trained)) == 5


def test_greats_subtracts_what_the_chosen_have_in_common() -> None:
    assert greedy([3.0, 2.9, 2.0], [[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]], 2) == [0, 2]
    assert greedy([3.0, 2.9, 2.0], [[0.0] * 3] * 3, 2) == [0, 1], "no products in common: the largest scores"


def test_greats_never_trains_what_is_held_back_and_says_if_there_is_too_little(guided: Callable) -> None:
    guide = guided(Greats(validation=3), Table([1.0] * 12))
    held = set(guide.pool.state["held"])
    assert len(held) == 3 and not held & {place for _ in range(9) for place in guide.step(3)}
    with pytest.raises(DataError, match="holds back 3 rows, and there are 3"):
        guided(Greats(validation=3), Table([1.0] * 3))


def test_a_known_row_comes_again_after_twice_as_long_each_time() -> None:
    table = Table([0.0, *[1.0] * 9])
    pool = SamplerPool(problems=[Prompt(prompt=[])] * 10, rows=[Rollout(prompt=Prompt(prompt=[]), completion=[])] * 10)
    pool.weights, seen = table, []
    sampler = SpacedLeitner(low=0.15, high=1.0)
    for step in range(16):
        pool.step, before = step, list(pool.state.get("due", [0]))
        sampler.next(10, pool)
        if pool.state["due"][0] != before[0]:
            seen.append(step)
    assert seen == [0, 2, 6, 14], "one step is a round here: intervals of 2, 4 and 8"


def test_what_is_known_takes_few_updates_and_noise_fewer_than_by_largest_loss(guided: Callable) -> None:
    values = [0.05] * 20 + [1.0 + i / 100 for i in range(30)] + [5.0] * 10
    counts = {}
    for sampler in (SpacedLeitner(low=0.34, high=0.8), RhoLoss(candidates=30, irreducible=False)):
        table = Table(values, noise=range(50, 60))
        guide, counted = guided(sampler, table), Counter[str]()
        for _ in range(24):
            places = guide.step(10)
            table.train(places)
            counted.update("known" if p < 20 else "noise" if p >= 50 else "new" for p in places)
        counts[type(sampler).__name__] = counted
    assert counts["SpacedLeitner"]["noise"] < counts["RhoLoss"]["noise"]
    assert counts["SpacedLeitner"]["known"] < counts["SpacedLeitner"]["new"]


def test_quantiles_are_in_order() -> None:
    with pytest.raises(RecipeError, match="low is 0.9, above high"):
        SpacedLeitner(low=0.9, high=0.5)
