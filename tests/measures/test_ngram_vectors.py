"""Vectors of character n-grams: nearly equal texts are near, others are not."""

from __future__ import annotations

import numpy as np
import pytest

from selfimprove.measures.ngram_vectors import WIDTH, embed


def test_cosines_by_hand() -> None:
    """`abcd` has abc and bcd, `abce` abc and bce: half of the n-grams are shared, unless two fall into one bucket."""
    rows = embed(["abcd", "ABCD", "abce", "xyzw", "", "a"])
    assert rows.shape == (6, WIDTH) and rows.dtype == np.float32
    assert rows[0] @ rows[1] == pytest.approx(1) and rows[0] @ rows[2] == pytest.approx(0.5)
    assert abs(rows[0] @ rows[3]) < 1e-6 and not rows[4].any()
    assert np.linalg.norm(rows[[0, 2, 3, 5]], axis=1) == pytest.approx(1)
