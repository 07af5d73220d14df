"""`adarft`: the nearest problems, a target that settles where half is solved, and steps that would swing."""

from __future__ import annotations

import math
from typing import Any

import pytest

from selfimprove.errors import DataError
from selfimprove.interfaces import SamplerPool
from selfimprove.methods.sampler.adarft import Adarft, slope
from selfimprove.records import Prompt


def test_a_step_takes_the_nearest_and_none_comes_twice_in_a_pass() -> None:
    pool = SamplerPool(problems=[Prompt(prompt=[], info={"level": level}) for level in (1, 2, 3, 4, 5)])
    sampler = Adarft(eta=50.0)
    assert sorted(sampler.next(2, pool)) == [0, 1]
    sampler.seen([0, 1], [[1.0, 1.0], [1.0, 0.0]], pool)
    assert math.isclose(pool.state["target"], 50 * math.tanh(0.5))
    assert sorted(sampler.next(2, pool)) == [2, 3], "0 is nearer to 23.1 than 3, and was used"
    assert sampler.next(1, pool) == [4] and pool.state["used"] == []


def settled(sampler: Adarft, width: float, centre: float, steps: int = 80) -> list[float]:
    """The rewards of the last steps with a learner whose success falls along a logistic curve."""
    state: dict[str, Any] = {"target": 0.0}
    rewards = []
    for _ in range(steps):
        rewards.append(1 / (1 + math.exp((state["target"] - centre) / width)))
        sampler.move(state, rewards[-1])
    return rewards[-10:]


def test_the_stable_steps_settle_where_the_papers_swing() -> None:
    assert all(abs(reward - 0.5) < 0.05 for width in (4, 8, 20) for reward in settled(Adarft(), width, 50))
    swinging = settled(Adarft(eta=50), 8, 50)
    assert max(swinging) > 0.8 and min(swinging) < 0.2
    assert all(abs(reward - 0.5) < 0.005 for reward in settled(Adarft(eta=5), 8, 50))


def test_the_target_rises_with_the_learner() -> None:
    sampler, state = Adarft(), dict[str, Any](target=0.0)
    seen = []
    for step in range(200):
        sampler.move(state, 1 / (1 + math.exp((state["target"] - 20 - step * 0.3) / 8)))
        seen.append(state["target"])
    assert seen[60] < seen[120] < seen[199] and abs(seen[199] - 79.7) < 10


def test_the_slope_is_that_of_a_line_and_unknown_where_targets_agree() -> None:
    assert math.isclose(slope([[0, 0.9], [10, 0.7], [20, 0.5]]) or 0, 0.02)
    assert slope([[50, 0.4], [50.5, 0.6]]) is None


def test_words_are_no_difficulty() -> None:
    pool = SamplerPool(problems=[Prompt(prompt=[], info={"level": "hard"})])
    with pytest.raises(DataError, match="takes a number as difficulty"):
        Adarft().next(1, pool)
