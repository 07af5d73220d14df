"""Majority answers as labels, and their advantages."""

from __future__ import annotations

import math

import pytest

from selfimprove.inference.majority import advantages, label_of


@pytest.mark.parametrize(
    ("answers", "least", "label"),
    [
        (["4", "4", "5"], 0.5, "4"),
        (["4", "4", "5"], 0.7, None),  # two thirds are too few
        (["4", "5"], 0.0, None),  # a tie
        (["4", "4"], 0.0, None),  # all agree: nothing to learn
        (["4", None, None], 0.3, "4"),  # who gives no answer does not vote, but counts
        (["4", None, None], 0.4, None),
        ([None, None], 0.0, None),
    ],
)
def test_the_label_is_a_clear_majority_that_teaches_something(
    answers: list[str | None], least: float, label: str | None
) -> None:
    assert label_of(answers, least) == label


def test_advantages_are_the_standardized_rewards_of_a_problem() -> None:
    # rewards 1, 1, 0, 0: the mean is 1/2, the standard deviation with Bessel's correction sqrt(1/3)
    high = 0.5 / math.sqrt(1 / 3)
    assert advantages(["4", "4", "5", None], "4") == pytest.approx([high, high, -high, -high])
    assert advantages(["4", "4"], "4") == [0.0, 0.0]
