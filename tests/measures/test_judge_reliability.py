"""How far a judge can be believed: hand-worked figures, what passes a form, what drifted."""

from __future__ import annotations

import json
import math
import random
from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfimprove.logs import MetricLog
from selfimprove.measures.judge_reliability import Marked, corrected, drift, form, parse, reliability, stored
from selfimprove.rounds import Reliability

Z = 1.959963984540054
SMALL: Marked = [[(True, 0.8), (False, 0.2)], [(True, 0.3), (True, 0.9), (False, 0.9), (False, None)]]

scores = st.none() | st.sampled_from([0.0, 0.25, 0.75, 1.0])
problems = st.lists(st.lists(st.tuples(st.booleans(), scores), max_size=5), max_size=8)


def simulated(tpr: float, fpr: float, n: int = 100, samples: int = 8, accuracy: float = 0.5, seed: int = 0) -> Marked:
    source = random.Random(seed)
    groups = [[source.random() < accuracy for _ in range(samples)] for _ in range(n)]
    return [[(right, float(source.random() < (tpr if right else fpr))) for right in group] for group in groups]


# ---- figures -----------------------------------------------------------------------------------------------------
def test_the_figures_by_hand() -> None:
    found = reliability(SMALL)
    assert (found.right, found.wrong, found.unread, found.mixed) == (3, 2, 1, 2)
    assert (found.tpr, found.fpr) == (pytest.approx(2 / 3), 0.5)
    assert found.youden and found.youden.value == pytest.approx(1 / 6) and found.youden.n == 5
    assert found.auc and found.auc.value == pytest.approx(
        (1 + 0.25) / 2
    )  # 1, and of 0.3 and 0.9 against 0.9: 0 and 1/2


def test_the_interval_counts_problems_by_hand() -> None:
    """20 copies of problems whose part of the error is +13/36 and -13/36, each weighing a 20th of it."""
    found = reliability(list(SMALL) * 20).youden
    assert found
    error = 13 / 36 / 20 * math.sqrt(40) * math.sqrt(40 / 39)
    assert found.low == pytest.approx(1 / 6 - Z * error) and found.high == pytest.approx(1 / 6 + Z * error)


def test_copies_of_an_attempt_make_nothing_surer() -> None:
    once = simulated(0.7, 0.4, n=40, samples=2)
    copied = [[attempt for attempt in group for _ in range(50)] for group in once]
    few, many = reliability(once).youden, reliability(copied).youden
    assert few and many and many.value == pytest.approx(few.value)
    assert many.high - many.low > 0.8 * (few.high - few.low)


def test_a_judge_that_never_erred_is_not_certain() -> None:
    found = reliability([[(True, 1.0), (False, 0.0)]] * 30).youden
    bound = Z**2 / (30 + Z**2)  # of Wilson's interval of 0 in 30, on both sides
    assert found and found.value == 1.0 and found.low == pytest.approx(1 - math.hypot(bound, bound))


@pytest.mark.parametrize("marked", [[], [[]], [[(True, 1.0)]], [[(False, 0.0), (True, None)]]])
def test_without_both_kinds_there_are_no_figures(marked: Marked) -> None:
    found = reliability(marked)
    assert found.youden is None and found.auc is None and drift(marked, marked) == {}


@given(problems, st.randoms(use_true_random=False))
def test_the_order_of_problems_and_attempts_is_all_the_same(marked: list, source: random.Random) -> None:
    turned = [source.sample(group, len(group)) for group in source.sample(marked, len(marked))]
    one, two = reliability(marked), reliability(turned)
    assert (one.right, one.wrong, one.unread, one.mixed) == (two.right, two.wrong, two.unread, two.mixed)
    for a, b in ((one.youden, two.youden), (one.auc, two.auc)):
        assert (a is None) == (b is None)
        assert a is None or b is None or asdict(a) == pytest.approx(asdict(b))


@pytest.mark.long
@given(problems)
def test_a_judge_that_says_the_opposite_is_as_bad_as_the_other_is_good(marked: list) -> None:
    one = reliability(marked)
    two = reliability([[(right, None if s is None else 1 - s) for right, s in group] for group in marked])
    if one.youden and two.youden:
        assert two.youden.value == pytest.approx(-one.youden.value)
        assert (two.youden.low, two.youden.high) == pytest.approx((-one.youden.high, -one.youden.low))
        assert -1 <= one.youden.low <= one.youden.value + 1e-9 <= one.youden.high + 2e-9 <= 1 + 2e-9
    if one.auc and two.auc:
        assert two.auc.value == pytest.approx(1 - one.auc.value)


def test_the_interval_covers_the_truth() -> None:
    found = [reliability(simulated(0.7, 0.4, n=50, samples=4, seed=seed)).youden for seed in range(400)]
    missed = sum(not f.low <= 0.3 <= f.high for f in found if f)
    assert missed <= 30  # 5 % of 400, and two and a half standard errors


# ---- drift -------------------------------------------------------------------------------------------------------
def test_the_same_judge_has_not_drifted() -> None:
    found = drift(SMALL, SMALL)
    assert all((m.value, m.low, m.high) == (0, 0, 0) for m in found.values()) and set(found) == {"youden", "auc"}


def test_drift_by_hand_is_measured_on_what_both_gave_a_verdict_on() -> None:
    then: Marked = [[(True, 1.0), (False, 0.0)], [(True, 1.0), (False, 0.0), (False, 1.0)]]
    now: Marked = [[(True, 1.0), (False, 1.0)], [(True, 1.0), (False, 0.0), (False, None)]]
    found = drift(now, then)
    assert found["youden"].value == pytest.approx(-0.5)  # of two wrong attempts one passes now
    assert found["auc"].value == pytest.approx(-0.25) and found["youden"].n == 2


def test_a_judge_that_got_worse_is_seen_better_in_pairs() -> None:
    then = simulated(0.9, 0.2)
    source = random.Random(1)
    now = [[(right, 1.0 if not right and source.random() < 0.1 else s) for right, s in group] for group in then]
    paired, alone = drift(now, then)["youden"], reliability(now).youden
    assert alone and paired.high < -0.02
    assert paired.high - paired.low < alone.high - alone.low


# ---- the form ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("marked", "failure"),
    [
        (simulated(0.8, 0.3), ""),
        (simulated(1.0, 1.0), "TPR - FPR is 1.00 - 1.00 = 0.00 with a lower bound of -0.0"),  # says yes to all
        (simulated(0.5, 0.5), "which must be above 0.1; the AUC within a problem is 0.5"),  # a coin
        (simulated(0.2, 0.8), "= -0.58 with a lower"),  # says the opposite
        (simulated(0.8, 0.3, n=5), "are too few"),
        (simulated(0.8, 0.3, accuracy=1.0), "judgements of 800 right and 0 wrong attempts (0 unread) on 0 problems"),
        (simulated(0.8, 0.3, samples=1), "0 problems with both are too few"),
        ([], "too few"),
    ],
    ids=["good", "yes", "coin", "opposite", "few", "all right", "no pairs", "nothing"],
)
def test_what_passes_a_form(marked: Marked, failure: str) -> None:
    found = form(marked, marked)
    assert failure in found.failure and bool(failure) == bool(found.failure) and "\n" not in found.failure
    assert found.short == ("too few" in found.failure)


def test_the_bounds_are_those_of_the_judge() -> None:
    marked = simulated(0.8, 0.3)
    assert "must be above 0.6" in form(marked, marked, min_youden=0.6).failure
    assert "must be at least 0.9" in form(marked, marked, min_auc=0.9).failure


@pytest.mark.parametrize("marked", [[], SMALL, simulated(0.8, 0.3)], ids=["nothing", "small", "good"])
def test_a_form_is_read_as_it_was_written(marked: Marked) -> None:
    found = replace(form(marked, marked), binding=False)
    assert parse(json.loads(json.dumps(stored(found)))) == found
    assert stored(found)["fault"] == found.failure


# ---- correction --------------------------------------------------------------------------------------------------
def rated(tpr: float | None, fpr: float | None, n: int = 100) -> Reliability:
    return Reliability(right=n, wrong=n, unread=0, mixed=n, tpr=tpr, fpr=fpr, youden=None, auc=None)


def test_the_corrected_share_by_hand() -> None:
    found = corrected(50, 100, rated(0.8, 0.2))
    half = Z * math.sqrt(0.25 / 100 + 2 * 0.25 * 0.16 / 100) / 0.6
    assert found and (found.value, found.low, found.high) == pytest.approx((0.5, 0.5 - half, 0.5 + half))
    fewer, exact = corrected(10, 100, rated(0.8, 0.2)), corrected(30, 100, rated(1.0, 0.0))
    assert fewer is not None and fewer.value == 0.0  # fewer than the false ones
    assert exact is not None and exact.value == pytest.approx(0.3)


@pytest.mark.parametrize(("tpr", "fpr", "n"), [(0.5, 0.5, 9), (0.2, 0.8, 9), (None, 0.1, 9), (0.9, 0.1, 0)])
def test_a_judge_that_tells_nothing_corrects_nothing(tpr: float | None, fpr: float | None, n: int) -> None:
    assert corrected(0, n, rated(tpr, fpr)) is None


def test_correction_finds_the_share_of_right_attempts() -> None:
    attempts = simulated(0.8, 0.3, n=2000, accuracy=0.35, seed=3)
    said = [score for group in attempts for _, score in group]
    found = corrected(sum(score > 0.5 for score in said if score is not None), len(said), reliability(attempts))
    assert found and found.value == pytest.approx(0.35, abs=0.01) and found.low < 0.35 < found.high
    assert abs(sum(s or 0 for s in said) / len(said) - 0.35) > 0.1  # what it says itself


def test_a_metric_log_keeps_numbers_and_passes_the_rest_on(quiet_log) -> None:
    log = MetricLog(quiet_log)
    log.metric("judge/unread", 1.0)
    log.note("a remark")
    log.progress(1, 2, "samples")
    assert log.metrics == {"judge/unread": 1.0}
    assert (quiet_log.metrics, quiet_log.notes, quiet_log.marks) == ({}, ["a remark"], [(1, 2, "samples")])
