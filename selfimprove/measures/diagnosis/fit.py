"""Where a loop is heading: an exponential approach to a ceiling, fitted to its rounds (arXiv:2507.00075)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Fit:
    """y(t) = ceiling + distance exp(-rate t), fitted to the rounds."""

    ceiling: float
    error: float
    """Standard error of the ceiling; infinite if the rounds do not determine it."""
    distance: float
    rate: float
    rounds: int
    """Rounds that were fitted, the start included."""

    def rounds_to(self, eps: float) -> float:
        """The round from which on y stays within eps of the ceiling."""
        return max(0.0, math.log(abs(self.distance) / eps) / self.rate) if abs(self.distance) > eps else 0.0


def dynamics(values: Sequence[float], low: float = -math.inf, high: float = math.inf) -> Fit | None:
    """Fit y(t) = ceiling + distance exp(-rate t) to rounds 0, 1, 2, ...; None if no fit is found.

    Args:
        low: the least that the ceiling can be.
        high: the most; an accuracy has 0 and 1.

    Raises:
        ValueError: there are fewer than four rounds.
    """
    import warnings

    import numpy
    from scipy.optimize import OptimizeWarning, curve_fit

    if len(values) < 4:
        raise ValueError(f"a fit of the dynamics needs at least 4 rounds, there are {len(values)}")
    if max(values) - min(values) < 1e-9:
        return Fit(values[-1], 0.0, 0.0, 0.0, len(values))
    rounds, seen = numpy.arange(len(values), dtype=float), numpy.asarray(values, float)

    def curve(t: Any, ceiling: float, distance: float, rate: float) -> Any:
        return ceiling + distance * numpy.exp(-rate * t)

    best: tuple[float, Fit] | None = None
    for rate in (0.1, 0.5, 1.5):
        guess = [min(max(values[-1], low), high), values[0] - values[-1], rate]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", OptimizeWarning)
                found, spread = curve_fit(
                    curve, rounds, seen, guess, bounds=([low, -math.inf, 1e-3], [high, math.inf, 20.0]), maxfev=5000
                )
        except RuntimeError:
            continue
        loss = float(((curve(rounds, *found) - seen) ** 2).sum())
        fit = Fit(float(found[0]), float(spread[0, 0]) ** 0.5, float(found[1]), float(found[2]), len(values))
        if best is None or loss < best[0]:
            best = loss, fit
    return best[1] if best else None
