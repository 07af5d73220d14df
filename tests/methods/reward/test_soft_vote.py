"""Vote shares: their mean is the chance that two samples agree, and a group without any agreement teaches nothing."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfimprove.methods.reward.soft_vote import SoftVote

votes = st.lists(st.sampled_from(["#1", "#2", "#3", "#4", "lost"]), max_size=12)


@pytest.fixture
def shares(make_context: Callable, make_rollout: Callable) -> Callable[[Sequence[str]], list[float | None]]:
    """`shares(["#1", "#2"])`: the scores of one prompt's completions."""

    def run(texts: Sequence[str]) -> list[float | None]:
        [scores] = SoftVote().rate([[make_rollout(text) for text in texts]], make_context())
        return scores

    return run


@pytest.mark.parametrize(
    ("texts", "scores"),
    [
        (["#1", "#1", "#2", "#3"], [0.5, 0.5, 0.25, 0.25]),
        (["1+0=1#1", "#1"], [1.0, 1.0]),  # the answer counts, not the way
        (["#1", "#1", "lost", "#2"], [0.5, 0.5, 0.0, 0.25]),  # without an answer: 0, but counted
        (["#1", "#2", "#3"], [0.0, 0.0, 0.0]),  # entropy log 3
        (["#1", "#2", "lost"], [0.0, 0.0, 0.0]),
        (["#1", "lost", "lost"], [0.0, 0.0, 0.0]),  # to be lost together is no agreement
        (["lost", "lost"], [0.0, 0.0]),
        (["#7"], [0.0]),  # log 1 is 0
        ([], []),
    ],
)
def test_by_hand(shares: Callable, texts: list[str], scores: list[float]) -> None:
    assert shares(texts) == scores


@given(votes)
def test_the_mean_is_the_sum_of_squared_shares(shares: Callable, texts: list[str]) -> None:
    scores, counts = shares(texts), Counter(text for text in texts if text != "lost")
    assert all(score == 0.0 for text, score in zip(texts, scores, strict=True) if text == "lost")
    if max(counts.values(), default=0) < 2:
        assert scores == [0.0] * len(texts)
    elif texts:
        squares = sum((count / len(texts)) ** 2 for count in counts.values())
        assert sum(scores) / len(texts) == pytest.approx(squares)


@given(st.lists(st.sampled_from(["#1", "#2", "#3", "#4"]), min_size=1, max_size=12))
def test_all_zero_exactly_where_the_entropy_is_log_n(shares: Callable, texts: list[str]) -> None:
    parts = [count / len(texts) for count in Counter(texts).values()]
    entropy = -sum(part * math.log(part) for part in parts)
    assert (set(shares(texts)) == {0.0}) == (entropy >= math.log(len(texts)) - 1e-12)


@given(votes, st.randoms(use_true_random=False))
def test_the_order_of_the_completions_does_not_matter(shares: Callable, texts: list[str], source: object) -> None:
    shuffled = list(texts)
    source.shuffle(shuffled)
    paired = Counter(zip(texts, shares(texts), strict=True))
    assert paired == Counter(zip(shuffled, shares(shuffled), strict=True))
