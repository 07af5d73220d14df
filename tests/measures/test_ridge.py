"""Ridge regression: by hand where it can be worked out, and that it learns nothing from noise."""

from __future__ import annotations

import numpy as np
import pytest

from selfimprove.measures import ridge


def test_each_row_left_out_is_predicted_as_by_a_regression_on_the_others() -> None:
    source = np.random.default_rng(0)
    rows = source.normal(size=(12, 3))
    numbers = rows @ [2.0, -1.0, 0.0] + 3 + 0.01 * source.normal(size=12)
    fitted = ridge.fit(rows, numbers)
    assert fitted.predict(rows) == pytest.approx(numbers, abs=0.1)
    assert fitted.left_out == pytest.approx(numbers, abs=0.2)
    assert fitted.predict(np.zeros((1, 3)))[0] == pytest.approx(3, abs=0.1)


def test_a_constant_column_and_a_constant_number_change_nothing() -> None:
    rows = np.array([[1.0, 0.0], [1.0, 1.0], [1.0, 2.0]])
    assert ridge.fit(rows, [5, 5, 5]).predict([[7.0, 9.0]]) == pytest.approx([5.0])
    assert ridge.fit(rows, [0, 1, 2]).predict([[100.0, 1.0]]) == pytest.approx([1.0])
    with pytest.raises(ValueError, match="no rows"):
        ridge.fit(np.zeros((0, 2)), [])


def test_of_noise_it_learns_nearly_nothing() -> None:
    source = np.random.default_rng(1)
    fitted = ridge.fit(source.normal(size=(60, 40)), source.normal(size=60))
    assert abs(np.asarray(fitted.predict(source.normal(size=(500, 40)))).std()) < 0.5


@pytest.mark.parametrize(
    ("bad", "good", "share"), [([0, 0], [1], 1.0), ([1], [0], 0.0), ([0, 1], [0, 1], 0.5), ([0, 2], [1, 3], 0.75)]
)
def test_auroc_by_hand(bad: list[float], good: list[float], share: float) -> None:
    assert ridge.auroc(bad, good) == share
    assert np.isnan(ridge.auroc([], good))
