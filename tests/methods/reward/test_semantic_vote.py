"""Votes of free texts: the middle of the largest cluster scores highest, outliers nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfimprove.methods.reward.semantic_vote import SemanticVote

CATS = ["the cat sat on the mat", "the cat sat on a mat", "the cat sits on the mat", "a cat sat on the mat"]
texts_of = st.lists(st.sampled_from([*CATS, "stock prices fell", "prices of stocks fell", ""]), max_size=8)


@pytest.fixture
def vote(make_context: Callable, make_rollout: Callable) -> Callable[..., list[float | None]]:
    """`vote(texts, min_cluster=2)`: the scores of one prompt's completions."""

    def run(texts: list[str], **options: float) -> list[float | None]:
        [scores] = SemanticVote(**options).rate([[make_rollout(text) for text in texts]], make_context())
        return scores

    return run


def test_outliers_have_no_score_and_the_middle_has_the_highest(vote: Callable) -> None:
    scores = vote([*CATS, CATS[0], "stock prices fell", "xyz", ""])
    assert scores[5:] == [None, None, None]
    assert all(0.5 < score <= 1.0 for score in scores[:5])
    assert scores[0] == scores[4] == max(scores[:5])  # said twice, and nearest to the others


def test_equal_answers_are_a_plain_vote(vote: Callable) -> None:
    assert vote(["1+0=1#1", "#1", "#1", "#2"], min_cluster=2) == [pytest.approx(1.0)] * 3 + [None]


def test_a_cluster_that_is_too_small_decides_nothing(vote: Callable) -> None:
    assert vote(CATS) == [None] * 4 and vote([]) == [] and vote([""], min_cluster=1) == [None]
    assert None not in vote(CATS, min_cluster=4)


def test_a_higher_threshold_splits_the_cluster(vote: Callable) -> None:
    scores = vote([*CATS, CATS[0]], similarity=0.999, min_cluster=2)
    assert scores == [pytest.approx(1.0), None, None, None, pytest.approx(1.0)]


@given(texts_of, st.randoms(use_true_random=False))
def test_the_order_does_not_matter_where_one_cluster_is_largest(vote: Callable, texts: list, source: object) -> None:
    shuffled = list(texts)
    source.shuffle(shuffled)

    def kept(order: list) -> list:
        return sorted(
            (text, round(score, 9)) for text, score in zip(order, vote(order, min_cluster=1), strict=True) if score
        )

    first, second = kept(texts), kept(shuffled)
    assert len(first) == len(second)
    if 2 * sum("cat" in text for text in texts) > sum(text != "" for text in texts):
        assert first == second and all("cat" in text for text, _ in first)
