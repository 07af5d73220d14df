"""`online_band`: full batches of groups that teach, until nothing in the band is left."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from selfimprove.errors import RecipeError
from selfimprove.interfaces import SamplerPool
from selfimprove.methods.sampler.online_band import OnlineBand
from selfimprove.records import Prompt


def test_batches_are_full_of_groups_in_the_band(training: Callable) -> None:
    run = training(OnlineBand(tries=30), [0.98, 0.5, 0.02, 0.0] * 100, [0] * 400)
    for _ in range(10):
        run.step(6)
    assert all(len(step) == 6 for step in run.trained)
    assert all(0.25 <= mean <= 0.75 for step in run.trained for _, mean in step)


def test_each_problem_comes_once_in_a_pass(training: Callable) -> None:
    run = training(OnlineBand(tries=0), [0.5] * 12)
    for _ in range(6):
        run.step(4)
    drawn = [place for step in run.chosen for place in step]
    assert sorted(drawn[:12]) == sorted(drawn[12:]) == list(range(12)) and drawn[:12] != drawn[12:]


def test_the_last_draw_widens_the_band_to_all_groups_that_teach() -> None:
    pool = SamplerPool(problems=[Prompt(prompt=[])] * 4, left=1)
    groups = [[1.0, 0.0, 0.0, 0.0, 0.0], [1.0, 1.0], [0.0, None], [1.0, 0.0]]
    sampler = OnlineBand()
    assert sampler.seen(range(4), groups, pool) == [False, False, False, True]
    pool.left = 0
    assert sampler.seen(range(4), groups, pool) == [True, False, False, True]


def test_ends_of_the_band_belong_to_it_and_must_be_in_order() -> None:
    pool = SamplerPool(problems=[Prompt(prompt=[])] * 2, left=1)
    ends = [[1.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 0.0]]
    assert OnlineBand().seen([0, 1], ends, pool) == [True, True]
    with pytest.raises(RecipeError, match="low is 0.8, above high"):
        OnlineBand(low=0.8, high=0.2)
