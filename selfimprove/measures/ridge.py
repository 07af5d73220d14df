"""Ridge regression of a number on vectors, with the strength of the penalty by leave-one-out error."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0, 1000.0)
"""Penalties that are tried, each times the number of rows."""


@dataclass(frozen=True)
class Fitted:
    """A regression."""

    predict: Callable[[Any], Any]
    """Vectors (n, width) -> numbers (n,)."""
    left_out: Any
    """The prediction for each row (n,) by all others."""


def fit(rows: Any, numbers: Any) -> Fitted:
    """The regression with the least squared error on rows left out one at a time, in closed form.

    Columns are standardized; one that is constant counts nothing. The mean of the numbers is not penalized.

    Args:
        rows: (n, width).
        numbers: (n,).

    Raises:
        ValueError: there are no rows.
    """
    import numpy as np

    rows, numbers = np.asarray(rows, dtype=np.float64), np.asarray(numbers, dtype=np.float64)
    if not len(rows):
        raise ValueError("no rows to fit")
    mean, scale, level = rows.mean(0), rows.std(0), numbers.mean()
    scale = np.where(scale > 1e-12, scale, np.inf)
    x, y, n = (rows - mean) / scale, numbers - level, len(rows)
    left, values, right = np.linalg.svd(x, full_matrices=False)
    best: tuple[float, Any, Any] | None = None
    for strength in STRENGTHS:
        shrunk = values**2 / (values**2 + strength * n)
        hat = (left * shrunk) @ (left.T @ y)
        lever = (left**2 * shrunk).sum(1) + 1 / n  # 1 / n: the mean is fitted too
        missed = (y - hat) / np.maximum(1 - lever, 1e-9)
        error = float((missed**2).mean())
        if best is None or error < best[0] - 1e-12:
            weights = right.T @ ((values / (values**2 + strength * n)) * (left.T @ y))
            best = error, weights, numbers - missed
    assert best is not None
    _, weights, left_out = best
    return Fitted(lambda more: (np.asarray(more, dtype=np.float64) - mean) / scale @ weights + level, left_out)


def auroc(bad: Any, good: Any) -> float:
    """The share of pairs in which the good one has the larger number; a tie counts half. NaN if a side is empty."""
    import numpy as np

    bad, good = np.sort(np.asarray(bad, dtype=np.float64)), np.asarray(good, dtype=np.float64)
    if not len(bad) or not len(good):
        return float("nan")
    below = np.searchsorted(bad, good, "left") + np.searchsorted(bad, good, "right")
    return float(below.sum() / (2 * len(bad) * len(good)))
