"""Confidence by groups of tokens, and the vote of those that are sure."""

from __future__ import annotations

import pytest

from selfimprove.inference.ballots import Candidate
from selfimprove.inference.confidence import confidence_of, edge, groups, surest_vote

ROW = [1.0, 3.0, 5.0, 3.0]


@pytest.mark.parametrize(("window", "found"), [(2, [2, 4, 4]), (4, [3]), (9, [3]), (1, ROW)])
def test_groups_slide_over_the_tokens(window: int, found: list[float]) -> None:
    assert groups(ROW, window) == found and groups([], window) == []


@pytest.mark.parametrize(("measure", "found"), [("lowest", 2), ("bottom", 2), ("tail", 4), ("mean", 3)])
def test_what_of_the_groups_counts(measure: str, found: float) -> None:
    assert confidence_of(ROW, 2, measure) == found and confidence_of([], 2, measure) == 0.0


def test_the_bottom_is_a_tenth_of_the_groups() -> None:
    assert confidence_of([float(n) for n in range(1, 21)], 1, "bottom") == 1.5


@pytest.mark.parametrize(("percent", "found"), [(0, 1), (100, 5), (50, 3), (25, 2), (90, 4.6)])
def test_an_edge_lies_between_values(percent: float, found: float) -> None:
    assert edge([5, 1, 4, 2, 3], percent) == found and edge([7], percent) == 7


@pytest.mark.parametrize(
    ("answers", "sure", "lowest", "place"),
    [
        (["a", "b", "b"], [9.0, 1.0, 1.0], 0.0, 0),  # weights: 9 against 2
        (["a", "b", "b"], [9.0, 5.0, 5.0], 0.0, 1),  # 9 against 10
        (["a", "b", "b"], [9.0, 5.0, 5.0], 6.0, 0),  # only the sure one votes
        ([None, "b", "c"], [9.0, 1.0, 2.0], 0.0, 2),  # no answer, no vote
        (["a", "b", "b"], [1.0, 1.0, 1.0], 6.0, 1),  # nobody is sure: all vote
        (["a", "b", "b"], [0.0, 0.0, 0.0], 0.0, 1),  # nothing was noted: all alike
        ([None, None], [1.0, 2.0], 0.0, 0),
    ],
)
def test_the_sure_ones_vote(answers: list[str | None], sure: list[float], lowest: float, place: int) -> None:
    assert surest_vote([Candidate(answer=one) for one in answers], sure, lowest) == place
