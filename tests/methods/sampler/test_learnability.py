"""`learnability`: the expected score in closed form, and a buffer without what is always or never solved."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import fmean

import pytest

from selfimprove.interfaces import SamplerPool
from selfimprove.methods.sampler.learnability import Learnability, learnability
from selfimprove.records import Prompt


@pytest.mark.parametrize("n", [4, 8, 16])
def test_the_score_is_unbiased(n: int) -> None:
    found = sum(
        math.comb(n, won) * 0.3**won * 0.7 ** (n - won) * learnability([1.0] * won + [0.0] * (n - won))
        for won in range(n + 1)
    )
    assert math.isclose(found, 0.3 * 0.7)
    assert learnability([1.0, None]) == learnability([]) == 0.0


def test_the_buffer_is_of_middling_problems_and_the_rest_are_new_ones() -> None:
    pool = SamplerPool(problems=[Prompt(prompt=[])] * 8)
    sampler = Learnability(share=0.5, buffer=2)
    groups = [[1.0, 1.0], [0.0, 0.0], [1.0, 0.0], [1.0, 0.0, 0.0, 0.0], [1.0, 0.0, 0.0]]
    sampler.seen(range(5), groups, pool)
    for _ in range(5):
        places = sampler.next(4, pool)
        assert set(places[:2]) == {2, 4} and set(places[2:]) <= {5, 6, 7}, "1/2, then 1/3, then 1/4"


def test_most_prompts_are_learnable_once_the_pool_is_known(training: Callable) -> None:
    run = training(Learnability(), [0.98, 0.5, 0.02, 0.0] * 20)
    for _ in range(40):
        run.step(8)
    late = [run.rates[place] for step in run.chosen[20:] for place in step[:6]]
    assert fmean(rate == 0.5 for rate in late) > 0.8
    buffer = sorted(run.state.values())[-10:]
    assert min(buffer) > 0.2
