"""Intervals and tests against values worked out by hand or by another formula."""

from __future__ import annotations

import itertools
import math
import random
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfimprove.statistics import (
    difference,
    discordant,
    mcnemar,
    mcnemar_two_sided,
    mean,
    pass_at_k,
    proportion,
)

counts = st.integers(min_value=0, max_value=60)


@pytest.mark.parametrize(
    ("right", "n", "low", "high"),
    [(8, 10, 0.490162, 0.943318), (0, 10, 0.0, 0.277533), (10, 10, 0.722467, 1.0), (50, 100, 0.403832, 0.596168)],
)
def test_the_wilson_interval(right: int, n: int, low: float, high: float) -> None:
    metric = proportion(right, n)
    assert (metric.value, metric.n) == (right / n, n)
    assert metric.low == pytest.approx(low, abs=1e-6) and metric.high == pytest.approx(high, abs=1e-6)


@given(st.integers(min_value=1, max_value=500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_wilson_interval_solves_its_equation_and_mirrors(case: tuple[int, int]) -> None:
    right, n = case
    metric, mirrored = proportion(right, n), proportion(n - right, n)
    assert 0 <= metric.low <= metric.value + 1e-12 and metric.value - 1e-12 <= metric.high <= 1
    assert metric.low == pytest.approx(1 - mirrored.high, abs=1e-9)
    for bound in (metric.low, metric.high):
        if 1e-9 < bound < 1 - 1e-9:  # the bounds are where |share - p| is 1.96 standard errors of p
            assert abs(metric.value - bound) == pytest.approx(1.959964 * math.sqrt(bound * (1 - bound) / n), rel=1e-5)


def test_the_wilson_interval_covers() -> None:
    source, hits = random.Random(0), 0
    for _ in range(1000):
        metric = proportion(sum(source.random() < 0.1 for _ in range(60)), 60)
        hits += metric.low <= 0.1 <= metric.high
    assert 930 <= hits <= 985


def test_nothing_measured_is_not_a_number() -> None:
    for metric in (proportion(0, 0), mean([]), difference([], [])):
        assert metric.n == 0 and math.isnan(metric.value) and math.isnan(metric.low) and math.isnan(metric.high)


def test_the_mean_and_its_interval() -> None:
    metric = mean([1, 1, 0, 0])  # squared deviations sum to 1, so the standard error is sqrt(1 / 12)
    assert metric.value == 0.5
    assert metric.high - metric.value == pytest.approx(1.959964 * math.sqrt(1 / 12), abs=1e-6)
    assert metric.value - metric.low == pytest.approx(metric.high - metric.value)
    assert mean([2.0]).value == 2.0 and mean([2.0]).low == -math.inf


def test_a_paired_difference_is_sharper_than_two_intervals() -> None:
    old = [float(i % 2) for i in range(100)]
    new = old[:90] + [1.0] * 10  # 5 more are solved, none is lost
    paired = difference(new, old)
    assert paired.value == pytest.approx(0.05) and paired.low > 0
    assert mean(new).low < mean(old).high


def test_pairs_must_be_of_one_length() -> None:
    with pytest.raises(ValueError):
        difference([1.0], [1.0, 0.0])
    with pytest.raises(ValueError):
        discordant([1.0], [1.0, 0.0])


def test_discordant_counts_what_only_one_policy_solves() -> None:
    assert discordant([1, 1, 0, 0, 1, 0.5], [1, 0, 1, 0, 0, 1]) == (2, 2)  # a score of 1/2 is not solved


@pytest.mark.parametrize(
    ("better", "worse", "p"),
    [(15, 5, 0.02069), (30, 15, 0.01785), (60, 40, 0.02844), (120, 80, 0.00284), (50, 50, 0.53979)],
)
def test_mcnemar_values(better: int, worse: int, p: float) -> None:
    assert mcnemar(better, worse) == pytest.approx(p, abs=5e-6)


@given(counts, counts)
def test_mcnemar_is_the_tail_of_the_binomial(better: int, worse: int) -> None:
    n = better + worse
    tail = Fraction(sum(math.comb(n, i) for i in range(better, n + 1)), 2**n)
    assert mcnemar(better, worse) == pytest.approx(float(tail), rel=1e-9)
    assert mcnemar(better + 1, worse) < mcnemar(better, worse) or better == worse == 0
    both = mcnemar_two_sided(better, worse)
    assert both == mcnemar_two_sided(worse, better) <= 1
    assert both == pytest.approx(min(1.0, 2 * min(mcnemar(better, worse), mcnemar(worse, better))))


def test_no_discordant_pair_says_nothing() -> None:
    assert mcnemar(0, 0) == mcnemar_two_sided(0, 0) == 1.0


@pytest.mark.parametrize(
    ("n", "right", "k", "value"), [(10, 3, 5, 0.916667), (20, 1, 10, 0.5), (100, 5, 50, 0.971858), (4, 0, 4, 0.0)]
)
def test_pass_at_k_values(n: int, right: int, k: int, value: float) -> None:
    assert pass_at_k(n, right, k) == pytest.approx(value, abs=5e-7)


@given(st.integers(1, 7).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n))))
def test_pass_at_k_is_the_share_of_subsets_with_a_right_one(case: tuple[int, int, int]) -> None:
    n, right, k = case
    subsets = list(itertools.combinations([i < right for i in range(n)], k))
    assert pass_at_k(n, right, k) == pytest.approx(sum(map(any, subsets)) / len(subsets))


def test_pass_at_k_needs_k_completions() -> None:
    with pytest.raises(ValueError, match="pass@5 needs at least 5"):
        pass_at_k(4, 1, 5)
