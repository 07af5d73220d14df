"""`sec`: most prompts come from the level that is solved half of the time, and the bandit follows when that changes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from selfimprove.errors import DataError
from selfimprove.interfaces import SamplerPool
from selfimprove.methods.sampler.sec import Sec
from selfimprove.records import Prompt


def test_q_is_moved_by_the_mean_absolute_advantage_of_its_own_arm() -> None:
    problems = [Prompt(prompt=[], key=str(level), info={"level": level}) for level in (1, 2)]
    pool = SamplerPool(problems=problems)
    sampler = Sec(alpha=0.5)
    sampler.next(2, pool)
    sampler.seen([0], [[1.0, 0.0, 0.0, 1.0]], pool)
    assert pool.state["q"] == {"1": 0.5, "2": 0.0}, "all four are one standard deviation from the mean"
    sampler.seen([0, 1], [[1.0, 1.0, None, 1.0], [None, None]], pool)
    assert pool.state["q"] == {"1": 0.25, "2": 0.0}


def test_the_middle_arm_gets_the_majority_and_loses_it_when_it_is_mastered(training: Callable) -> None:
    run = training(Sec(), [0.98, 0.5, 0.02] * 30)
    for _ in range(400):
        run.step(4)
    counts = Counter(place % 3 for step in run.chosen[50:] for place in step)
    shares = {arm: counts[arm] / sum(counts.values()) for arm in range(3)}
    assert 0.6 < shares[1] < 0.9 and min(shares.values()) > 0.05  # the catalog's simulation: .80 without exploration
    assert all(0 <= value <= 1 for value in run.state["q"].values())
    run.rates = [0.98, 1.0, 0.5] * 30
    for _ in range(60):
        run.step(4)
    late = Counter(place % 3 for step in run.chosen[-40:] for place in step)
    assert late[2] > late[1] and late[2] > late[0]


def test_problems_without_the_note_are_refused_with_the_notes_that_they_have() -> None:
    pool = SamplerPool(problems=[Prompt(prompt=[], key="1+1", info={"source": "a"})])
    with pytest.raises(DataError, match="'level', and the problem '1.1' notes source"):
        Sec().next(1, pool)
