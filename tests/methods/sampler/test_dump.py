"""`dump`: the bound by hand, forgetting after the window, and a source that is mastered."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable

from selfimprove.interfaces import SamplerPool
from selfimprove.methods.sampler.dump import Dump
from selfimprove.records import Prompt


def test_chances_are_a_softmax_of_mean_and_bonus() -> None:
    sources = {"a": {"window": [1.0, 0.5], "n": 3}, "b": {"window": [], "n": 0}}
    bounds = {"a": 0.75 + math.sqrt(2 * math.log(4) / 4), "b": math.sqrt(2 * math.log(4))}
    chances = Dump().chances(sources)
    assert math.isclose(chances["a"], 1 / (1 + math.exp((bounds["b"] - bounds["a"]) / 0.1)))
    assert math.isclose(sum(chances.values()), 1.0)


def test_old_advantages_leave_the_window_and_samples_are_counted_not_groups() -> None:
    pool = SamplerPool(problems=[Prompt(prompt=[], info={"level": 1})])
    sampler = Dump(window=4)
    sampler.next(1, pool)
    sampler.seen([0], [[1.0, 0.0]], pool)
    sampler.seen([0], [[1.0, 1.0, 1.0, None]], pool)
    assert pool.state["1"] == {"window": [1.0, 0.0, 0.0, 0.0], "n": 5}


def test_every_source_comes_first_and_a_mastered_one_falls_below_half(training: Callable) -> None:
    run = training(Dump(), [0.98, 0.5, 0.02] * 30)
    for _ in range(60):
        run.step(4)
    assert {place % 3 for step in run.chosen[:3] for place in step} == {0, 1, 2}
    counts = Counter(place % 3 for step in run.chosen[10:] for place in step)
    assert counts[1] > 0.8 * sum(counts.values())
    run.rates = [0.98, 1.0, 0.5] * 30
    for _ in range(15):  # 480 completions: more than a window
        run.step(4)
    late = Counter(place % 3 for step in run.chosen[-5:] for place in step)
    assert late[1] < 0.5 * sum(late.values())
