"""Groups of problems for a bandit: chances, places that come in turn, and what a group of rewards can teach."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfimprove.errors import DataError
from selfimprove.measures import arms
from selfimprove.records import Prompt

VALUES = st.dictionaries(st.sampled_from("abcde"), st.floats(-50, 50), min_size=1)


def problem(**info: object) -> Prompt:
    return Prompt(prompt=[{"role": "user", "content": "1+1"}], answer="2", key=str(info), info=dict(info))


def test_arms_hold_the_places_of_what_the_problems_note() -> None:
    given_too = Prompt(prompt=[{"role": "user", "content": "2+2"}], answer="4", key="g", given={"level": 1})
    assert arms.arms_of([problem(level=1), problem(level=2), given_too], "level") == {"1": [0, 2], "2": [1]}


def test_a_problem_that_notes_nothing_is_named_with_what_it_notes() -> None:
    with pytest.raises(DataError, match="looks for 'level', .* notes kind; set its `by`"):
        arms.arms_of([problem(kind="sum")], "level")


def test_shares_of_two_arms_by_hand() -> None:
    found = arms.shares({"a": math.log(3), "b": 0.0}, temperature=1.0)
    assert found == pytest.approx({"a": 0.75, "b": 0.25})
    assert arms.shares({"a": math.log(3), "b": 0.0}, 1.0, explore=0.2) == pytest.approx({"a": 0.7, "b": 0.3})


@given(VALUES, st.floats(0.05, 10), st.floats(0, 1))
def test_shares_are_chances_and_leave_each_arm_its_part_of_exploring(
    values: dict[str, float], temperature: float, explore: float
) -> None:
    found = arms.shares(values, temperature, explore)
    assert sum(found.values()) == pytest.approx(1)
    assert all(chance >= explore / len(values) - 1e-12 for chance in found.values())
    best = max(values, key=lambda arm: values[arm])
    assert found[best] == max(found.values())


@given(st.integers(1, 40), st.integers(0, 1000))
def test_no_problem_comes_twice_before_its_arm_is_used_up(k: int, seed: int) -> None:
    groups = {"a": [0, 1, 2], "b": [3, 4]}
    made = arms.picked(groups, {"a": 0.5, "b": 0.5}, k, random.Random(seed))
    assert len(made) == k
    for places in groups.values():
        drawn = [place for place in made if place in places]
        for start in range(0, len(drawn), len(places)):
            whole = drawn[start : start + len(places)]
            assert len(set(whole)) == len(whole)


def test_an_arm_without_a_chance_is_not_picked() -> None:
    assert set(arms.picked({"a": [0], "b": [1]}, {"a": 1.0, "b": 0.0}, 20, random.Random(0))) == {0}


@pytest.mark.parametrize(("right", "of"), [(1, 2), (1, 4), (3, 4), (2, 8)])
def test_advantages_follow_the_pass_rate(right: int, of: int) -> None:
    rewards = [1.0] * right + [0.0] * (of - right)
    rate = right / of
    mean = sum(arms.advantages(rewards)) / of
    assert mean == pytest.approx(2 * math.sqrt(rate * (1 - rate)))
    plain = arms.advantages(rewards, normalize=False)
    assert sum(plain) / of == pytest.approx(2 * rate * (1 - rate))


def test_rewards_that_are_all_alike_or_missing_teach_nothing() -> None:
    assert arms.advantages([1.0, 1.0, None]) == [0.0, 0.0]
    assert arms.advantages([None]) == [] and arms.mean_of([None]) is None
    assert arms.mean_of([1.0, None, 0.0]) == 0.5
