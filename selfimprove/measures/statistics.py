"""Intervals and tests, on top of scipy. Every function is pure and takes plain numbers.

Each function names its source. Where two policies are compared, `better` counts the problems that only the new one
solves and `worse` those that only the old one solves. No result depends on the order of the problems.
"""

from __future__ import annotations

import math
import sys
from collections import defaultdict
from collections.abc import Hashable, Sequence

from selfimprove.records import Metric

Z95 = 1.959963984540054
"""The 97.5 % point of the normal distribution: 95 % two-sided intervals."""
BETS = (0.05, 0.10, 0.15, 0.20, 0.30, 0.40)
"""The stakes that `e_value` averages over."""


# ---- means and their intervals -----------------------------------------------------------------------------------
def proportion(right: float, n: int) -> Metric:
    """A share of n problems with its 95 % Wilson interval; a fractional number of right ones is allowed."""
    if n == 0:
        return Metric(value=math.nan, low=math.nan, high=math.nan, n=0)
    share, z2 = right / n, Z95 * Z95
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return Metric(value=share, low=max(0.0, middle - half) if right else 0.0, high=min(1.0, middle + half), n=n)


def mean(values: Sequence[float], bounds: tuple[float, float] = (0.0, 1.0)) -> Metric:
    """A mean with its 95 % interval by the central limit theorem: SE = sqrt(sum (u - mean)^2 / (n (n - 1))).

    Args:
        bounds: the range of the values. One value alone shows no spread, so its interval is all of the range.
    """
    n = len(values)
    if n == 0:
        return Metric(value=math.nan, low=math.nan, high=math.nan, n=0)
    average = sum(values) / n
    error = math.sqrt(sum((value - average) ** 2 for value in values) / (n * (n - 1))) if n > 1 else None
    return _interval(average, error, n, bounds)


def clustered_error(values: Sequence[float], clusters: Sequence[Hashable]) -> float:
    """Standard error of the mean of problems that share a template: Miller, arXiv:2411.00640, clustered errors."""
    n, average = len(values), math.fsum(values) / len(values)
    return math.sqrt(math.fsum((total - size * average) ** 2 for total, size in _totals(values, clusters))) / n


def clustered_mean(
    values: Sequence[float], clusters: Sequence[Hashable], bounds: tuple[float, float] = (0.0, 1.0)
) -> Metric:
    """A mean with its 95 % interval by `clustered_error`: Miller, arXiv:2411.00640; one cluster shows no spread."""
    if not values:
        return mean([])
    error = clustered_error(values, clusters) if len(set(clusters)) > 1 else None
    return _interval(math.fsum(values) / len(values), error, len(values), bounds)


def difference(new: Sequence[float], old: Sequence[float]) -> Metric:
    """The mean paired difference new - old of scores in [0, 1] on the same problems: Miller, arXiv:2411.00640."""
    return mean(_differences(new, old), (-1.0, 1.0))


def clustered_difference(new: Sequence[float], old: Sequence[float], clusters: Sequence[Hashable]) -> Metric:
    """`difference` for problems that share a template: Miller, arXiv:2411.00640, paired and clustered."""
    return clustered_mean(_differences(new, old), clusters, (-1.0, 1.0))


def lower_bound(new: Sequence[float], old: Sequence[float], confidence: float = 0.95) -> float:
    """One-sided score bound of the mean paired difference new - old, for non-inferiority: after Tango (1998).

    The bound is where the mean lies z standard errors above it, with the variance that it would have there.
    """
    differences = _differences(new, old)
    if not differences:
        return -1.0
    n, average = len(differences), math.fsum(differences) / len(differences)
    moved, k = math.fsum(value * value for value in differences) / n, _z(1 - confidence) ** 2 / n
    low = (average - math.sqrt(max(0.0, k * ((1 + k) * moved - average**2)))) / (1 + k)
    if -low > moved or not moved:  # a loss this large implies more changes than observed, hence more variance
        low = -(k - 2 * average + math.sqrt(max(0.0, k * (k - 4 * average * (1 + average))))) / (2 * (1 + k))
    return low


def clopper_pearson(hits: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Exact two-sided interval of a share: Clopper and Pearson (1934); one-sided 95 % is a side of confidence .90."""
    from scipy.stats import binomtest

    if n == 0:
        return 0.0, 1.0
    found = binomtest(hits, n).proportion_ci(confidence, method="exact")
    return float(found.low), float(found.high)


# ---- tests of two policies on the same problems ------------------------------------------------------------------
def discordant(new: Sequence[float], old: Sequence[float]) -> tuple[int, int]:
    """How many problems only the new policy solves, and how many only the old one; solved is a score above 1/2."""
    pairs = [(a > 0.5, b > 0.5) for a, b in zip(new, old, strict=True)]
    return sum(a and not b for a, b in pairs), sum(b and not a for a, b in pairs)


def mcnemar(better: int, worse: int) -> float:
    """Exact one-sided McNemar test that the new policy is better: P(Bin(better + worse, 1/2) >= better)."""
    n = better + worse
    ways, reached = math.comb(n, better), 0
    for k in range(better, n + 1):
        reached, ways = reached + ways, ways * (n - k) // (k + 1)
    return reached / 2**n  # whole numbers up to here: exact, and without the import of scipy.stats


def mcnemar_two_sided(better: int, worse: int) -> float:
    """Exact two-sided McNemar test that the two policies differ."""
    return min(1.0, 2 * mcnemar(max(better, worse), min(better, worse)))


def mcnemar_mid(better: int, worse: int) -> float:
    """One-sided mid-p McNemar, Fagerland et al. (2013): half of the tie counts. To show, never to decide by."""
    from scipy.stats import binom

    return mcnemar(better, worse) - 0.5 * float(binom.pmf(better, better + worse, 0.5))


def sign_flip(
    new: Sequence[float],
    old: Sequence[float],
    clusters: Sequence[Hashable] | None = None,
    flips: int = 9999,
    seed: int = 0,
) -> float:
    """One-sided permutation test that new is better, on the mean differences of clusters: Fisher (1935)."""
    import numpy as np

    means = [total / size for total, size in _totals(_differences(new, old), clusters)]
    sizes, source = np.array(sorted(abs(value) for value in means if value)), np.random.default_rng(seed)
    observed = math.fsum(means) - 1e-9  # a flip that only rounds differently is a tie
    reached = sum(float(source.choice((-1.0, 1.0), sizes.size) @ sizes) >= observed for _ in range(flips))
    return (1 + reached) / (1 + flips)


def e_value(better: int, worse: int) -> float:
    """Evidence that may be looked at any time: mean over `BETS` of (1+l)^better (1-l)^worse; Ville (1939)."""
    logs = [better * math.log1p(bet) + worse * math.log1p(-bet) for bet in BETS]
    most = max(logs)
    return _exp(most + math.log(sum(math.exp(log - most) for log in logs) / len(logs)))


def z_test(new: Sequence[float], old: Sequence[float], margin: float = 0.0) -> float:
    """One-sided p that the mean of new exceeds that of old by more than a margin; separate problems, Welch (1938)."""
    from scipy.stats import norm

    if not new or not old:
        return 1.0
    gap = math.fsum(new) / len(new) - math.fsum(old) / len(old) - margin
    return float(norm.sf(gap / math.sqrt(_variance(new) / len(new) + _variance(old) / len(old))))


# ---- many tests --------------------------------------------------------------------------------------------------
def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for their number, in the same order: Holm (1979)."""
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        largest = max(largest, (len(p_values) - rank) * p_values[place])
        adjusted[place] = min(1.0, largest)
    return adjusted


def spend(alpha: float, round: int, rounds: int | None = None) -> float:
    """The level of a round's test: Bonferroni's alpha / rounds, or alpha 6 / (pi r)^2 where their number is open."""
    return alpha / rounds if rounds else alpha * 6 / (math.pi * round) ** 2


# ---- planning ----------------------------------------------------------------------------------------------------
def sample_size(discordance: float, effect: float, alpha: float, power: float = 0.8) -> int:
    """Problems for a one-sided McNemar test: Miettinen (1968). The exact test needs about 1 / effect more."""
    if not 0 < effect <= discordance:
        raise ValueError(f"an effect of {effect} cannot come from a share of {discordance} that changes")
    z_alpha, z_power = _z(alpha), _z(1 - power)
    root = z_alpha * math.sqrt(discordance) + z_power * math.sqrt(discordance - effect * effect)
    return math.ceil((root / effect) ** 2)


def detectable_effect(n: int, discordance: float, alpha: float, power: float = 0.8) -> float:
    """The effect for which `sample_size` is n: its formula solved for the effect, Miettinen (1968)."""
    z_alpha, z_power = _z(alpha), _z(1 - power)
    root = math.sqrt(max(0.0, n - z_alpha**2 + z_power**2))
    return math.sqrt(discordance) * (z_alpha * math.sqrt(n) + z_power * root) / (n + z_power**2)


def sample_size_of_means(
    effect: float,
    alpha: float,
    between: float,
    within: tuple[float, float],
    samples: tuple[int, int] = (1, 1),
    power: float = 0.8,
) -> int:
    """Problems for a one-sided paired test with K samples of each: Miller, arXiv:2411.00640, power.

    Args:
        between: variance over problems of the true difference.
        within: mean variance of one sample's score, of the new and of the old policy.
        samples: completions per problem, of the new and of the old policy.
    """
    variance = between + sum(one / k for one, k in zip(within, samples, strict=True))
    return math.ceil((_z(alpha) + _z(1 - power)) ** 2 * variance / effect**2)


def expected_max(k: int) -> float:
    """The mean of the largest of k standard normal draws: Tippett (1925), by numerical integration."""
    from scipy.integrate import quad
    from scipy.special import ndtr

    density = k / math.sqrt(2 * math.pi)
    return float(quad(lambda x: density * x * math.exp(-x * x / 2) * ndtr(x) ** (k - 1), -12, 12, limit=200)[0])


def shrunken(delta: float, n: int, discordance: float, candidates: int, prior_sd: float = 0.03) -> float:
    """The best of several measured gains, shrunk to 0 (Efron and Morris, 1973), minus the expected luck of the best.

    Args:
        delta: the gain of the candidate that did best on the n selection problems.
        prior_sd: standard deviation of true gains.
    """
    noise = discordance / n
    return delta * prior_sd**2 / (prior_sd**2 + noise) - math.sqrt(noise) * expected_max(candidates)


# ---- shared by the functions above -------------------------------------------------------------------------------
def _differences(new: Sequence[float], old: Sequence[float]) -> list[float]:
    return [a - b for a, b in zip(new, old, strict=True)]


def _totals(values: Sequence[float], clusters: Sequence[Hashable] | None) -> list[tuple[float, int]]:
    """Sum and size of each cluster, in an order that the order of the values does not change."""
    groups: dict[Hashable, list[float]] = defaultdict(list)
    for value, cluster in zip(values, range(len(values)) if clusters is None else clusters, strict=True):
        groups[cluster].append(value)
    return sorted((math.fsum(group), len(group)) for group in groups.values())


def _interval(average: float, error: float | None, n: int, bounds: tuple[float, float]) -> Metric:
    """The 95 % interval by a standard error; without one all that is possible, in numbers that JSON has."""
    if error is None:
        return Metric(value=average, low=min(average, bounds[0]), high=max(average, bounds[1]), n=n)
    return Metric(value=average, low=average - Z95 * error, high=average + Z95 * error, n=n)


def _variance(values: Sequence[float]) -> float:
    """At least 3 / n, for values in [-1, 1]: even if n show no change, a share of 3 / n may (rule of three)."""
    n, average = len(values), math.fsum(values) / len(values)
    return max(math.fsum((value - average) ** 2 for value in values) / max(1, n - 1), 3 / n)


def _z(tail: float) -> float:
    from scipy.stats import norm

    return float(norm.isf(tail))


def _exp(log: float) -> float:
    """A power that stays a number in JSON."""
    return math.exp(min(log, math.log(sys.float_info.max)))
