"""Intervals and tests against values worked out by hand or by another formula."""

from __future__ import annotations

import json
import math
import random
import sys
from dataclasses import asdict
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, norm

from selfimprove.measures.statistics import (
    clopper_pearson,
    clustered_difference,
    clustered_error,
    clustered_mean,
    detectable_effect,
    difference,
    discordant,
    e_value,
    expected_max,
    holm,
    lower_bound,
    mcnemar,
    mcnemar_mid,
    mcnemar_two_sided,
    mean,
    proportion,
    sample_size,
    sample_size_of_means,
    shrunken,
    sign_flip,
    spend,
    z_test,
)
from selfimprove.records import Metric

counts = st.integers(min_value=0, max_value=60)
shares = st.integers(0, 8).map(lambda i: i / 8)
items = st.lists(st.tuples(shares, shares, st.integers(0, 5)), min_size=2, max_size=40)
"""Problems of a gate form: score of the new policy, of the old one, template."""


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
    for metric in (proportion(0, 0), mean([]), difference([], []), clustered_mean([], [])):
        assert metric.n == 0 and math.isnan(metric.value) and math.isnan(metric.low) and math.isnan(metric.high)


def test_the_mean_and_its_interval() -> None:
    metric = mean([1, 1, 0, 0])  # squared deviations sum to 1, so the standard error is sqrt(1 / 12)
    assert metric.value == 0.5
    assert metric.high - metric.value == pytest.approx(1.959964 * math.sqrt(1 / 12), abs=1e-6)
    assert metric.value - metric.low == pytest.approx(metric.high - metric.value)


@pytest.mark.parametrize(
    ("metric", "told"),
    [
        (mean([0.25]), (0.25, 0.0, 1.0)),
        (mean([7.0], bounds=(0.0, 32.0)), (7.0, 0.0, 32.0)),
        (mean([7.0]), (7.0, 0.0, 7.0)),  # the value itself is always inside
        (mean([-2.0]), (-2.0, -2.0, 1.0)),
        (difference([0.0], [1.0]), (-1.0, -1.0, 1.0)),
        (clustered_mean([1.0, 0.0], ["one", "one"]), (0.5, 0.0, 1.0)),
        (clustered_difference([1.0, 1.0], [0.0, 1.0], ["one", "one"]), (0.5, -1.0, 1.0)),
    ],
)
def test_one_value_says_nothing_of_its_spread_and_stays_json(metric: Metric, told: tuple[float, ...]) -> None:
    assert (metric.value, metric.low, metric.high) == told
    json.dumps(asdict(metric), allow_nan=False)


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


# ---- clusters ----------------------------------------------------------------------------------------------------
def test_the_clustered_error_by_hand() -> None:
    # mean 1/2; the clusters' summed deviations are +1, -1/2, -1/2: squares sum to 3/2
    assert clustered_error([1, 1, 0, 0], ["a", "a", "b", "c"]) == pytest.approx(math.sqrt(1.5) / 4)
    metric = clustered_mean([1, 1, 0, 0], ["a", "a", "b", "c"])
    assert (metric.value, metric.n) == (0.5, 4)
    assert metric.high - metric.value == pytest.approx(1.959964 * math.sqrt(1.5) / 4, rel=1e-6)


def test_answers_that_move_together_widen_the_interval() -> None:
    values, clusters = [1.0] * 50 + [0.0] * 50, [i // 10 for i in range(100)]
    plain, robust = mean(values), clustered_mean(values, clusters)
    assert robust.high - robust.low > 3 * (plain.high - plain.low)


@given(items)
def test_clusters_of_one_are_the_ordinary_error(problems: list[tuple[float, float, int]]) -> None:
    n, new, old = len(problems), [a for a, _, _ in problems], [b for _, b, _ in problems]
    robust, plain = clustered_difference(new, old, range(n)), difference(new, old)
    assert robust.value == pytest.approx(plain.value, abs=1e-12)
    shrink = math.sqrt((n - 1) / n)
    assert robust.high - robust.value == pytest.approx(shrink * (plain.high - plain.value), abs=1e-9)


# ---- properties of the paired tests ------------------------------------------------------------------------------
@settings(max_examples=15)
@given(items, st.randoms(use_true_random=False))
def test_the_order_of_the_problems_changes_nothing(
    problems: list[tuple[float, float, int]], source: random.Random
) -> None:
    def told(rows: list[tuple[float, float, int]]) -> list[float]:
        new, old, clusters = map(list, zip(*rows, strict=True))
        metrics = [difference(new, old), clustered_difference(new, old, clusters)]
        numbers = [number for metric in metrics for number in (metric.value, metric.low, metric.high)]
        numbers += [sign_flip(new, old, flips=199), sign_flip(new, old, clusters, flips=199), lower_bound(new, old)]
        return [*numbers, mcnemar(*discordant(new, old)), e_value(*discordant(new, old)), z_test(new, old)]

    assert told(source.sample(problems, len(problems))) == pytest.approx(told(problems), abs=1e-9)


@settings(max_examples=25)
@given(items)
def test_swapping_the_policies_mirrors(problems: list[tuple[float, float, int]]) -> None:
    new, old, clusters = map(list, zip(*problems, strict=True))
    better, worse = discordant(new, old)
    assert discordant(old, new) == (worse, better)
    same = float(binom.pmf(better, better + worse, 0.5))
    assert mcnemar(worse, better) == pytest.approx(1 - mcnemar(better, worse) + same)
    assert mcnemar_mid(worse, better) == pytest.approx(1 - mcnemar_mid(better, worse))
    assert z_test(old, new) == pytest.approx(1 - z_test(new, old))
    one, other = clustered_difference(new, old, clusters), clustered_difference(old, new, clusters)
    assert (one.low, one.value, one.high) == pytest.approx((-other.high, -other.value, -other.low))
    # of the 199 flips and the one observed, those on the border count on both sides
    assert sign_flip(new, old, clusters, 199) + sign_flip(old, new, clusters, 199) >= 1
    # the lower bound for one is the upper bound for the other, so they lie on both sides of the mean
    assert lower_bound(new, old) <= difference(new, old).value <= -lower_bound(old, new)


# ---- McNemar, sign flips, bootstrap ------------------------------------------------------------------------------
@pytest.mark.parametrize(("better", "worse"), [(15, 5), (30, 15), (0, 7), (50, 50)])
def test_the_mid_p_takes_half_of_the_tie(better: int, worse: int) -> None:
    n = better + worse
    tail = Fraction(sum(math.comb(n, i) for i in range(better + 1, n + 1)), 2**n)
    assert mcnemar_mid(better, worse) == pytest.approx(float(tail + Fraction(math.comb(n, better), 2 ** (n + 1))))


def test_the_sign_flip_test_is_mcnemar_for_single_binary_problems() -> None:
    new, old = [1.0] * 15 + [0.0] * 5 + [1.0] * 80, [0.0] * 15 + [1.0] * 5 + [1.0] * 80
    assert sign_flip(new, old) == pytest.approx(mcnemar(15, 5), abs=3 * math.sqrt(0.0207 * 0.98 / 9999))


@pytest.mark.long
def test_the_sign_flip_test_sees_clusters_as_one() -> None:
    new, old, clusters = [1.0] * 40, [0.0] * 40, [i // 10 for i in range(40)]
    assert sign_flip(new, old) == 1 / 10_000  # 2^-40 is below what 9,999 flips can show
    assert sign_flip(new, old, clusters) == pytest.approx(1 / 16, abs=0.01)
    assert sign_flip(old, new, clusters) == 1.0 == sign_flip(new, new)


def test_the_sign_flip_test_weighs_clusters_alike() -> None:
    # means +1 and -1/2 of clusters of one and of four: of the four sign patterns, two reach their sum
    assert sign_flip([1, 0, 0, 1, 1], [0, 1, 1, 1, 1], list("abbbb")) == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize(
    ("better", "worse", "e"), [(15, 5, 5.5723), (30, 15, 7.2581), (120, 80, 24.2009), (50, 50, 0.3245)]
)
def test_e_values(better: int, worse: int, e: float) -> None:
    assert e_value(better, worse) == pytest.approx(e, abs=6e-5)


@pytest.mark.parametrize("n", [0, 1, 10, 50, 200])
def test_e_values_have_mean_one_where_nothing_is_gained(n: int) -> None:
    chances = binom.pmf(range(n + 1), n, 0.5)
    assert sum(chance * e_value(b, n - b) for b, chance in enumerate(chances)) == pytest.approx(1, abs=1e-9)


@given(st.lists(st.sampled_from([(1, 0), (0, 1), (0, 0), (1, 1)]), max_size=60))
def test_problems_without_a_difference_do_not_change_the_e_value(problems: list[tuple[int, int]]) -> None:
    def evidence(rows: list[tuple[int, int]]) -> float:
        return e_value(*discordant([a for a, _ in rows], [b for _, b in rows]))

    assert evidence(problems) == evidence([row for row in problems if row[0] != row[1]])
    product = [math.prod(1 + bet * (a - b) for a, b in problems) for bet in (0.05, 0.1, 0.15, 0.2, 0.3, 0.4)]
    assert evidence(problems) == pytest.approx(sum(product) / 6)


@given(counts, counts)
def test_the_e_value_grows_with_each_win(better: int, worse: int) -> None:
    assert e_value(better + 1, worse) > e_value(better, worse) > e_value(better, worse + 1)


def test_an_e_value_stays_a_number() -> None:
    assert e_value(10_000, 0) <= sys.float_info.max
    assert e_value(0, 10_000) >= 0


# ---- z test and lower bound --------------------------------------------------------------------------------------
def test_the_z_test_by_hand() -> None:
    new, old = [1.0] * 60 + [0.0] * 40, [1.0] * 50 + [0.0] * 50
    error = math.sqrt(0.24 / 99 + 0.25 / 99)
    assert z_test(new, old) == pytest.approx(norm.sf(0.1 / error))
    assert z_test(new, old, margin=0.02) == pytest.approx(norm.sf(0.08 / error))
    assert z_test(old, old) == 0.5 and z_test([], old) == z_test(new, []) == 1.0


def test_few_values_without_spread_prove_nothing() -> None:
    assert z_test([1.0, 1.0], [0.0, 0.0]) > 0.2 and z_test([1.0], [0.0]) > 0.3
    assert z_test([1.0] * 100, [0.0] * 100) < 1e-9
    assert lower_bound([1.0] * 20, [1.0] * 20) < -0.11  # 20 unchanged answers leave room for a loss of 12 points
    assert lower_bound([], []) == -1.0 and lower_bound([0.0], [1.0]) == pytest.approx(-1.0)


def test_the_lower_bound_solves_its_equation() -> None:
    new, old = [1.0] * 10 + [0.0] * 5 + [1.0] * 85, [0.0] * 10 + [1.0] * 5 + [1.0] * 85
    for confidence, z in ((0.95, 1.644854), (0.99, 2.326348)):
        low = lower_bound(new, old, confidence)
        assert 0.05 - low == pytest.approx(z * math.sqrt((0.15 - low**2) / 100), abs=1e-6)
    lost = lower_bound(old[10:15] + [1.0] * 95, new[10:15] + [1.0] * 95)  # 5 gained and no other change
    assert 0.05 - lost == pytest.approx(1.644854 * math.sqrt((0.05 - lost**2) / 100), abs=1e-6)
    fallen = lower_bound([0.0] * 5 + [1.0] * 95, [1.0] * 100)  # 5 lost and no other change: a loss of q moves q
    assert -0.05 - fallen == pytest.approx(1.644854 * math.sqrt((-fallen - fallen**2) / 100), abs=1e-6)


@pytest.mark.parametrize(("n", "d", "loss"), [(200, 0.02, 0.02), (200, 0.03, 0.03), (344, 0.1, 0.03), (100, 0.05, 0.0)])
def test_the_lower_bound_is_rarely_above_the_truth(n: int, d: float, loss: float) -> None:
    drawn = np.random.default_rng(5).multinomial(n, [(d - loss) / 2, (d + loss) / 2, 1 - d], size=1500)
    wrong = 0
    for better, worse, same in drawn.tolist():
        low = lower_bound([1.0] * better + [0.0] * (worse + same), [0.0] * better + [1.0] * worse + [0.0] * same)
        wrong += low > -loss + 1e-12
    assert wrong / 1500 <= 0.06 + 3 * math.sqrt(0.05 * 0.95 / 1500)  # twice as often by the normal interval


@pytest.mark.parametrize(("d", "n", "margin"), [(0.05, 344, 0.03), (0.1, 688, 0.03), (0.1, 248, 0.05)])
def test_the_lower_bound_has_the_power_of_its_plan(d: float, n: int, margin: float) -> None:
    source, shown = random.Random(3), 0  # n = 6.18 d / margin^2: 80 % power where nothing is lost
    for _ in range(800):
        new, old = [0.0] * n, [0.0] * n
        for i in range(n):
            if (u := source.random()) < d:
                (new if u < d / 2 else old)[i] = 1.0
        shown += lower_bound(new, old) > -margin
    assert shown / 800 == pytest.approx(0.8, abs=0.045)  # three standard errors


# ---- shares ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("n", [64, 300])
def test_no_hit_bounds_a_share_by_the_rule_of_three(n: int) -> None:
    low, high = clopper_pearson(0, n, 0.9)
    assert (low, high) == (0.0, pytest.approx(1 - 0.05 ** (1 / n)))
    assert high == pytest.approx(3 / n, rel=0.03)
    assert clopper_pearson(n, n, 0.9) == (pytest.approx(1 - high), 1.0)


def test_the_rule_of_three_rules_out_one_percent_with_300_problems() -> None:
    assert clopper_pearson(0, 300, 0.9)[1] < 0.01 < clopper_pearson(1, 300, 0.9)[1]
    assert clopper_pearson(0, 0) == (0.0, 1.0)


@given(st.integers(1, 80).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_clopper_pearson_inverts_the_binomial(case: tuple[int, int]) -> None:
    hits, n = case
    low, high = clopper_pearson(hits, n)
    assert hits == 0 or binom.sf(hits - 1, n, low) == pytest.approx(0.025, rel=1e-6)
    assert hits == n or binom.cdf(hits, n, high) == pytest.approx(0.025, rel=1e-6)


# ---- many tests --------------------------------------------------------------------------------------------------
def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0] and holm([]) == []


@given(st.lists(st.integers(1, 1000).map(lambda i: i / 1000), min_size=1, max_size=8))
def test_holm_lies_between_nothing_and_bonferroni(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    assert all(p <= a <= min(1.0, len(p_values) * p) + 1e-12 for p, a in zip(p_values, adjusted, strict=True))
    assert min(adjusted) == pytest.approx(min(1.0, len(p_values) * min(p_values)))
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    assert [adjusted[i] for i in order] == sorted(adjusted)


def test_the_spending_sequence() -> None:
    assert [round(spend(0.05, r), 4) for r in range(1, 6)] == [0.0304, 0.0076, 0.0034, 0.0019, 0.0012]
    assert 0.0499 < sum(spend(0.05, r) for r in range(1, 10_000)) < 0.05
    assert [spend(0.05, r, 20) for r in (1, 20)] == [0.0025, 0.0025]


# ---- planning ----------------------------------------------------------------------------------------------------
TABLE = {
    (0.10, 0.02): (707, 1544, 2917),
    (0.10, 0.03): (314, 685, 1295),
    (0.10, 0.05): (112, 246, 465),
    (0.15, 0.02): (1062, 2317, 4377),
    (0.15, 0.03): (471, 1029, 1944),
    (0.15, 0.05): (169, 369, 698),
    (0.15, 0.10): (42, 91, 173),
    (0.20, 0.02): (1416, 3090, 5837),
    (0.20, 0.03): (629, 1372, 2593),
    (0.20, 0.05): (226, 493, 932),
    (0.20, 0.10): (56, 122, 231),
    (0.30, 0.02): (2124, 4635, 8757),
    (0.30, 0.03): (944, 2059, 3891),
    (0.30, 0.05): (339, 740, 1399),
    (0.30, 0.10): (84, 184, 348),
}


@pytest.mark.parametrize(("case", "sizes"), TABLE.items())
def test_the_table_of_sample_sizes_and_its_inverse(case: tuple[float, float], sizes: tuple[int, ...]) -> None:
    discordance, effect = case
    for alpha, n in zip((0.20, 0.05, 0.005), sizes, strict=True):
        assert sample_size(discordance, effect, alpha) == n
        found = detectable_effect(n, discordance, alpha)
        assert sample_size(discordance, found * (1 + 1e-9), alpha) == n
        assert found <= effect < detectable_effect(n - 1, discordance, alpha)  # n was rounded up


def test_an_effect_needs_problems_that_change() -> None:
    with pytest.raises(ValueError, match="cannot come from"):
        sample_size(0.02, 0.03, 0.05)
    assert (
        detectable_effect(4, 0.01, 0.005) > 0.01
    )  # so few problems cannot show any effect: it is above the discordance


def test_the_sample_size_of_means() -> None:
    # (1.96 + .8416)^2 (1/9 + 1/6 + 1/6) / .03^2, and with ten samples (1/9 + 1/60 + 1/60)
    assert sample_size_of_means(0.03, 0.025, 1 / 9, (1 / 6, 1 / 6)) == 3876
    assert sample_size_of_means(0.03, 0.025, 1 / 9, (1 / 6, 1 / 6), (10, 10)) == 1260
    # without noise within a problem it is the formula of the paired test, but for d - delta^2 against d
    assert sample_size_of_means(0.03, 0.05, 0.2, (0.0, 0.0)) == pytest.approx(sample_size(0.2, 0.03, 0.05), rel=0.01)


@pytest.mark.parametrize(("k", "value"), [(1, 0.0), (2, 0.5642), (4, 1.0294), (8, 1.4236), (16, 1.7660)])
def test_the_expected_maximum(k: int, value: float) -> None:
    assert expected_max(k) == pytest.approx(value, abs=5e-5)


def test_the_winner_of_four_loses_what_luck_gave_it() -> None:
    # sqrt(.2 / 64) * 1.0294 = 5.75 points; and 9 / (9 + 31.25) of the measured gain is left
    assert math.sqrt(0.2 / 64) * expected_max(4) == pytest.approx(0.0575, abs=5e-5)
    assert shrunken(0.10, 64, 0.2, 4) == pytest.approx(0.10 * 9 / 40.25 - 0.05754, abs=1e-5)
    assert shrunken(0.10, 64, 0.2, 1) == pytest.approx(0.10 * 9 / 40.25)
    assert shrunken(0.10, 10**9, 0.2, 16) == pytest.approx(0.10, abs=1e-4)
