"""Votes: what is counted, what a share is of, and that a tie gives no label."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfimprove.measures.votes import agreement, plurality, shares, tally


@pytest.mark.parametrize(
    ("answers", "low", "said"),
    [
        (["1", "1", "2"], 0.0, "1"),
        (["1", "2"], 0.0, None),
        ([None, None, "1"], 0.0, "1"),
        ([None, None, "1"], 0.5, None),
        (["1", "1", "2", None], 0.5, "1"),
        ([], 0.0, None),
    ],
)
def test_the_single_most_frequent_answer(answers: list[str | None], low: float, said: str | None) -> None:
    assert plurality(answers, low) == said


def test_shares_are_of_all_answers_and_stand_in_the_order_first_seen() -> None:
    answers = ["b", None, "a", "b"]
    assert list(tally(answers).items()) == [("b", 2), ("a", 1)]
    assert list(shares(answers).items()) == [("b", 0.5), ("a", 0.25)]
    assert agreement(answers) == 0.5
    assert shares([]) == {} and agreement([]) == agreement([None]) == 0.0


@given(st.lists(st.sampled_from(["1", "2", "3", None]), max_size=9), st.randoms(use_true_random=False))
def test_the_label_does_not_depend_on_the_order_and_has_the_largest_share(
    answers: list[str | None], source: random.Random
) -> None:
    label = plurality(answers)
    mixed = source.sample(answers, len(answers))
    assert plurality(mixed) == label and agreement(mixed) == agreement(answers)
    most = [answer for answer, share in shares(answers).items() if share == agreement(answers)]
    assert label == (most[0] if len(most) == 1 else None)
    assert plurality(answers, agreement(answers)) == label


@pytest.mark.parametrize(("bound", "kept", "right"), [(0.0, 0.82, 0.817), (0.5, 0.38, 0.95), (0.7, 0.06, 0.99)])
def test_a_higher_bound_keeps_fewer_labels_and_better_ones(bound: float, kept: float, right: float) -> None:
    """Ten samples that are right in 4 of 10 cases, with five equally likely wrong answers; ties give no label."""
    coin, n = random.Random(0), 3000
    labels = [plurality(coin.choices("r12345", [40, 12, 12, 12, 12, 12], k=10), bound) for _ in range(n)]
    known = [label for label in labels if label is not None]
    assert abs(len(known) / n - kept) < 0.03
    assert abs(known.count("r") / len(known) - right) < 0.02
