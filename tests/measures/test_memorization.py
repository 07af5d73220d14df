"""The memorization gap by hand."""

from __future__ import annotations

import pytest

from selfimprove.measures.diagnosis import Estimate, grew, memorization


def test_the_gap_is_between_a_problem_and_its_own_variant() -> None:
    marks = {"a": [1.0, 1.0, 0.0, 0.0], "b": [1.0, None, 1.0], "c": [0.0], "left out": [0.0]}
    changed = {"a": [0.0, 1.0, 0.0, 0.0], "b": [0.0, 1.0], "c": [None], "d": [1.0]}
    found = memorization(marks, changed)
    assert found is not None and found.n == 2 and found.value == pytest.approx((0.25 + 0.5) / 2)
    assert memorization(marks, {"a": [1.0]}) is None and memorization(marks, {}) is None


@pytest.mark.parametrize(
    ("now", "first", "told"),
    [((0.3, 0.05), (0.0, 0.05), True), ((0.3, 0.2), (0.0, 0.05), False), ((0.3, 0.05), (0.25, 0.05), False)],
)
def test_it_grew_if_it_is_clear_on_both_counts(
    now: tuple[float, float], first: tuple[float, float], told: bool
) -> None:
    assert grew(*(Estimate(value, error, 0.0, 0.0, 25) for value, error in (now, first))) is told
