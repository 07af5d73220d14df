"""Weighted labels: weights sum to 1, a narrow width is the majority alone, and disagreement is punished."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfimprove.methods.reward.restrain import Restrain

votes = st.lists(st.sampled_from(["#1", "#2", "#3", "lost"]), min_size=1, max_size=12)


@pytest.fixture
def scores(make_context: Callable, make_rollout: Callable) -> Callable[..., list[float]]:
    """`scores(["#1", "#2"], width=0.1)`: the scores of one prompt's completions."""

    def run(texts: list[str], **options: float) -> list[float]:
        [marks] = Restrain(**options).rate([[make_rollout(text) for text in texts]], make_context())
        return marks

    return run


def test_by_hand(scores: Callable) -> None:
    # shares 3/4 and 1/4; as label either answer has deviation sqrt(3/16 * 4/3) = 1/2: the majority scores 1/4 : 1/2
    heavy, light = math.exp(-((0.25 / 0.4) ** 2) / 2), math.exp(-((0.75 / 0.4) ** 2) / 2)
    w = heavy / (heavy + light)
    majority, minority = w * 0.5 + (1 - w) * -0.5, w * -1.5 + (1 - w) * 1.5
    assert scores(["#1", "#1", "#2", "#1"]) == pytest.approx([majority, majority, minority, majority])


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["#1", "#1", "#1"], [0.0, 0.0, 0.0]),  # everybody agrees: nothing to learn
        (["#1", "#2", "#3", "#4", "#5"], [-0.5] * 5),  # 1 of 5 is less than a quarter
        (["#1"] + ["lost"] * 7, [-0.5] * 8),
        (["lost", "lost"], [-0.5, -0.5]),
        (["#1"], [0.0]),
        ([], []),
    ],
)
def test_the_ends(scores: Callable, texts: list[str], expected: list[float]) -> None:
    assert scores(texts) == expected


@given(votes)
def test_weights_sum_to_1_and_advantages_to_0(scores: Callable, texts: list[str]) -> None:
    counts = Counter(text for text in texts if text != "lost")
    if counts:
        weights = Restrain()._weights({text: count / len(texts) for text, count in counts.items()})
        assert sum(weights.values()) == pytest.approx(1.0) and min(weights.values()) > 0
    marks = scores(texts)
    if max(counts.values(), default=0) >= 0.25 * len(texts):
        assert sum(marks) == pytest.approx(0.0, abs=1e-9)
    else:
        assert marks == [-0.5] * len(texts)


@given(votes)
def test_a_narrow_width_is_the_majority_alone(scores: Callable, texts: list[str]) -> None:
    ranked = Counter(text for text in texts if text != "lost").most_common(2)
    if not ranked or (len(ranked) == 2 and ranked[0][1] == ranked[1][1]):
        return
    marks = scores(texts, width=1e-3, min_agreement=0.0)
    n, share = len(texts), ranked[0][1] / len(texts)
    deviation = math.sqrt(share * (1 - share) * n / (n - 1)) if share < 1 else 1.0
    expected = [((text == ranked[0][0]) - share) / deviation for text in texts]
    assert marks == pytest.approx(expected, abs=1e-9)
