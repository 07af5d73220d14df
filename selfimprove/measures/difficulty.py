"""What a problem is worth to whoever writes problems, by how often it is solved: neither always nor never.

Each takes p, the rate of n solutions that are right or agree, and is named after the paper that pays by it.
"""

from __future__ import annotations

import math
from collections.abc import Callable


def azr_learn(p: float, n: int) -> float:
    """Absolute Zero: the share of failures, but nothing for a problem that is never or always solved."""
    return 1.0 - p if 0.0 < p < 1.0 else 0.0


def rzero_unc(p: float, n: int) -> float:
    """R-Zero: 1 where the solver is as unsure as can be, 0 where all samples agree or none does."""
    return 1.0 - 2.0 * abs(p - 0.5)


def spice_var(p: float, n: int) -> float:
    """SPICE: a bell over the variance of the marks, highest at its largest value, 0.25; the width is our choice."""
    return math.exp(-((p * (1.0 - p) - 0.25) ** 2) / (2 * 0.01))


def drzero_diff(p: float, n: int) -> float:
    """Dr. Zero: 1 for a problem that one sample solves, less for each further one; nothing for none or all."""
    return (n - p * n) / (n - 1) if 0.0 < p < 1.0 else 0.0


def mae(p: float, n: int) -> float:
    """MAE: the share of failures, also of a problem that nobody solves; its `grade` has to tell junk from hard."""
    return 1.0 - p


VALUES: dict[str, Callable[[float, int], float]] = {
    function.__name__: function for function in (azr_learn, rzero_unc, spice_var, drzero_diff, mae)
}
"""What a problem is worth to the proposer, by the rate p of n samples."""
