"""`adastar`: how many problems are moved on, round-robin of a perfect model, and fewer problems left out than at random."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from statistics import fmean, pstdev

from selfimprove.interfaces import SamplerPool
from selfimprove.methods.sampler.adastar import Adastar
from selfimprove.records import Prompt


def pool_of(size: int) -> SamplerPool:
    """Problems whose ties are broken by their places."""
    problems = [Prompt(prompt=[], key=str(i)) for i in range(size)]
    return SamplerPool(problems=problems, state={"turn": [*range(size)]})


def test_a_pool_that_is_sorted_by_kind_is_not_taken_in_its_order(training: Callable) -> None:
    run = training(Adastar(tries=0), [1.0] * 50 + [0.5] * 50)
    run.step(40)
    [first] = run.chosen
    assert len({*first}) == 40 and 10 <= sum(place < 50 for place in first) <= 30


def test_the_first_of_those_attempted_are_moved_on_by_the_square_of_the_mean() -> None:
    pool, sampler = pool_of(20), Adastar(tries=0)
    places = sampler.next(10, pool)
    assert places == list(range(10))
    counted = sampler.seen(places, [[1.0, 0.0]] * 6 + [[1.0, 1.0]] * 3 + [[0.0, 0.0]], pool)
    assert counted == [True] * 9 + [False]
    assert pool.state["last"] == [0] * 4 + [-1] * 16, "the mean is .6, and 10 times .36 is about 4"
    assert pool.state["rate"][:4] == [0.5] * 4
    pool.step = 1
    assert sampler.next(3, pool) == [4, 5, 6]


def test_what_was_tried_in_this_step_counts_with_what_is_drawn_again() -> None:
    pool, sampler = pool_of(6), Adastar(tries=1)
    pool.left = 1
    places = sampler.next(2, pool)
    assert sampler.seen(places, [[0.0], [1.0]], pool) == [False, True] and pool.state["last"] == [-1] * 6
    pool.left = 0
    assert sampler.next(1, pool) == [2]
    assert sampler.seen([2], [[1.0]], pool) == [True]
    assert pool.state["last"] == [0, -1, -1, -1, -1, -1], "3 were tried with a mean of 2/3: 3 * 4/9 is about 1"


def test_a_perfect_model_goes_round(training: Callable) -> None:
    run = training(Adastar(), [1.0] * 30)
    for _ in range(9):
        run.step(6)
    counts = Counter(place for step in run.chosen for place in step)
    assert max(counts.values()) - min(counts.values()) <= 1


def test_training_is_spread_more_evenly_than_at_random(training: Callable) -> None:
    source = random.Random(0)
    rates = [source.random() for _ in range(60)]
    run = training(Adastar(tries=4), rates)
    for _ in range(40):
        run.step(18, n=1)
    steered = Counter(place for step in run.trained for place, _ in step)
    plain = Counter[int]()
    while plain.total() < steered.total():
        place = source.randrange(60)
        plain[place] += source.random() < rates[place]

    def spread(counts: Counter[int]) -> float:
        numbers = [counts[place] for place in range(60)]
        return pstdev(numbers) / fmean(numbers)

    assert spread(steered) < spread(plain)
