"""Intervals and tests, on top of scipy. Every function is pure and takes plain numbers.

Sources: Wilson (1927); McNemar (1947), exact form; Chen et al., arXiv:2107.03374 (pass@k); Miller, arXiv:2411.00640
(paired differences between evaluations).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from selfimprove.records import Metric

Z95 = 1.959963984540054
"""The 97.5 % point of the normal distribution: 95 % two-sided intervals."""


def proportion(right: float, n: int) -> Metric:
    """A share of n problems with its 95 % Wilson interval; a fractional number of right ones is allowed."""
    if n == 0:
        return Metric(value=math.nan, low=math.nan, high=math.nan, n=0)
    share, z2 = right / n, Z95 * Z95
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return Metric(value=share, low=max(0.0, middle - half) if right else 0.0, high=min(1.0, middle + half), n=n)


def mean(values: Sequence[float]) -> Metric:
    """A mean with its 95 % interval by the central limit theorem: SE = sqrt(sum (u - mean)^2 / (n (n - 1)))."""
    n = len(values)
    if n == 0:
        return Metric(value=math.nan, low=math.nan, high=math.nan, n=0)
    average = sum(values) / n
    error = math.sqrt(sum((value - average) ** 2 for value in values) / (n * (n - 1))) if n > 1 else math.inf
    return Metric(value=average, low=average - Z95 * error, high=average + Z95 * error, n=n)


def difference(new: Sequence[float], old: Sequence[float]) -> Metric:
    """The mean paired difference new - old on the same problems, with its 95 % interval."""
    return mean([a - b for a, b in zip(new, old, strict=True)])


def discordant(new: Sequence[float], old: Sequence[float]) -> tuple[int, int]:
    """How many problems only the new policy solves, and how many only the old one; solved is a score above 1/2."""
    pairs = [(a > 0.5, b > 0.5) for a, b in zip(new, old, strict=True)]
    return sum(a and not b for a, b in pairs), sum(b and not a for a, b in pairs)


def mcnemar(better: int, worse: int) -> float:
    """Exact one-sided McNemar test that the new policy is better: P(Bin(better + worse, 1/2) >= better)."""
    from scipy.stats import binom

    return float(binom.sf(better - 1, better + worse, 0.5)) if better + worse else 1.0


def mcnemar_two_sided(better: int, worse: int) -> float:
    """Exact two-sided McNemar test that the two policies differ."""
    return min(1.0, 2 * mcnemar(max(better, worse), min(better, worse)))


def pass_at_k(n: int, right: int, k: int) -> float:
    """The unbiased probability that at least one of k completions is right, from `right` of n: 1 - C(n-c,k)/C(n,k).

    Raises:
        ValueError: k is larger than n, so nothing unbiased can be said.
    """
    if k > n:
        raise ValueError(f"pass@{k} needs at least {k} completions, there are {n}")
    return 1.0 - math.prod((n - right - i) / (n - i) for i in range(k)) if n - right >= k else 1.0
