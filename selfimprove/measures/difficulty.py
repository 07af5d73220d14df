"""Rewards for the author of a problem by how often it is solved: neither always nor never.

Each function takes p, the share of n solutions that are right or agree, and is named after its paper.
"""

from __future__ import annotations

import math
from collections.abc import Callable


def azr_learn(p: float, n: int) -> float:
    """Absolute Zero: the share of failures, but nothing for a problem that is never or always solved."""
    return 1.0 - p if 0.0 < p < 1.0 else 0.0


def rzero_unc(p: float, n: int) -> float:
    """R-Zero: 1 at p = 1/2, where the solver is most uncertain, 0 if all samples agree or none does."""
    return 1.0 - 2.0 * abs(p - 0.5)


def spice_var(p: float, n: int) -> float:
    """SPICE: a bell curve over the variance of the marks, with its peak at the largest variance, 0.25; our width."""
    return math.exp(-((p * (1.0 - p) - 0.25) ** 2) / (2 * 0.01))


def drzero_diff(p: float, n: int) -> float:
    """Dr. Zero: 1 if one sample solves the problem, less for each further one; 0 for none or all."""
    return (n - p * n) / (n - 1) if 0.0 < p < 1.0 else 0.0


def mae(p: float, n: int) -> float:
    """MAE: the share of failures, also if all samples fail; its `grade` must tell invalid problems from hard ones."""
    return 1.0 - p


VALUES: dict[str, Callable[[float, int], float]] = {
    function.__name__: function for function in (azr_learn, rzero_unc, spice_var, drzero_diff, mae)
}
"""Name -> reward of the proposer for a problem with the rate p of n samples."""
