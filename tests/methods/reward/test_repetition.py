"""The share of repeated n-grams: none in what says everything once, and TRL's formula."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfimprove.methods.reward.repetition import Repetition


@pytest.mark.parametrize(
    ("text", "n", "score"),
    [
        ("a b c d", 2, 0.0),
        ("a a a a a", 2, -0.75),  # four times the same
        ("a b a b", 2, -1 / 3),
        ("aaaa", 3, -0.5),  # without spaces: characters
        ("a b", 3, 0.0),
        ("", 3, 0.0),
        ("a a", 1, -0.5),
    ],
)
def test_by_hand(make_context: Callable, make_rollout: Callable, text: str, n: int, score: float) -> None:
    assert Repetition(n=n).rate([[make_rollout(text)], []], make_context()) == [[pytest.approx(score)], []]


@given(st.lists(st.sampled_from("abc"), min_size=2, max_size=12), st.integers(1, 4))
def test_it_equals_trl_with_words_for_tokens(
    make_context: Callable, make_rollout: Callable, words: list, n: int
) -> None:
    from trl.rewards.other_rewards import get_repetition_penalty_reward

    ids = [ord(word) for word in words]
    [[score]] = Repetition(n=n).rate([[make_rollout(" ".join(words))]], make_context())
    assert [score] == pytest.approx(get_repetition_penalty_reward(n)([ids])) and -1 < score <= 0
