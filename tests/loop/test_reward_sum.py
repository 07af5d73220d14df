"""Several rewards: their weighted sum, and what `normalize` changes about it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from selfimprove.loop.reward_sum import rate
from selfimprove.loop.steps import rewarded
from selfimprove.recipe import compose
from selfimprove.records import Rollout


@pytest.fixture
def summed(make_context: Callable, make_rollout: Callable) -> Callable[..., list[float | None]]:
    """`summed(texts, "reward.format.weight=0.1")`: the totals of verifier and format for completions of 3+5+8."""

    def run(texts: list[str], *overrides: str, **changes: Any) -> list[float | None]:
        made = compose.load("quickstart", ["reward=[verifier,format]", *overrides])[0]
        rollouts: list[Rollout] = [make_rollout(text, **changes) for text in texts]
        return [rollout.reward for rollout in rate(rollouts, made, make_context())]

    return run


TEXTS = ["#6", "#6", "#5", "lost"]  # right, right, wrong but readable, unreadable


def test_the_plain_sum_by_hand(summed: Callable) -> None:
    assert summed(TEXTS, "reward.format.weight=0.5") == [1.5, 1.5, 0.5, 0.0]


def test_normalized_rewards_have_the_same_say_whatever_their_range(summed: Callable) -> None:
    # verifier 1 1 0 0: mean 1/2, deviation 1/sqrt 3; format 1 1 1 0: mean 3/4, deviation 1/2
    both = ("reward.verifier.normalize=true", "reward.format.normalize=true")
    a, b = 0.5 * 3**0.5, 0.5
    assert summed(TEXTS, *both) == pytest.approx([a + b, a + b, b - a, -a - 3 * b])


def test_a_reward_that_is_equal_for_all_adds_nothing(summed: Callable) -> None:
    assert summed(["#6", "#6"], "reward.verifier.normalize=true", "reward.format.weight=0.5") == [0.5, 0.5]


def test_what_cannot_be_scored_stays_so(summed: Callable, make_prompt: Callable) -> None:
    bare = make_prompt(answer=None)
    assert summed(["#6", "#5"], "reward.verifier.normalize=true", prompt=bare) == [None, None]


def test_a_vote_is_not_taken_again_among_those_that_lost_it(make_context: Callable, make_rollout: Callable) -> None:
    """The outliers of the first vote agree with each other; asked again alone, they would win."""
    made = compose.load("quickstart", ["reward=semantic_vote", "reward.semantic_vote.min_cluster=2"])[0]
    texts = ["the cat sat", "the cat sat", "the cat sits", "xyz", "xyz"]
    context = make_context(reward=lambda some: rate(some, made, make_context()))
    once = context.reward([make_rollout(text) for text in texts])
    assert [one.reward is None for one in once] == [False] * 3 + [True] * 2
    assert [one.reward for one in rewarded(once, context)] == [one.reward for one in once]
    assert [one.reward for one in rate(once[3:], made, context)] != [None, None]
