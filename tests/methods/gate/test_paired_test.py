"""The exact paired test: its values, the spending over rounds, and how often it errs."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from selfimprove.methods.gate.paired_test import PairedTest
from selfimprove.records import Alert, Decision, Report


@pytest.fixture
def decide(make_report: Callable[..., Report]) -> Callable[..., Decision]:
    """`decide(15, 5, rounds=1)`: the decision when 15 problems were gained and 5 lost; 30 more are solved by both."""

    def run(better: int, worse: int, rounds: int = 1, **options: float) -> Decision:
        old = [0.0] * better + [1.0] * worse + [1.0] * 30 + [0.0] * 10
        new = [1.0] * better + [0.0] * worse + [1.0] * 30 + [0.0] * 10
        champion, candidate = make_report(old), make_report(new)
        return PairedTest(**options).decide(champion, champion, candidate, [], [], rounds)

    return run


@pytest.mark.parametrize(
    ("better", "worse", "p"),
    [(15, 5, 0.02069), (30, 15, 0.01785), (60, 40, 0.02844), (120, 80, 0.00284), (50, 50, 0.53979)],
)
def test_the_exact_values(decide: Callable, better: int, worse: int, p: float) -> None:
    decision = decide(better, worse)
    assert decision.statistics["p"] == pytest.approx(p, abs=5e-6)
    assert (decision.statistics["b"], decision.statistics["c"]) == (better, worse)
    assert decision.statistics["n"] == better + worse + 40
    assert decision.verdict == ("certify" if p <= 0.05 else "reject")
    assert f"{better} gained, {worse} lost" in decision.reason


@pytest.mark.parametrize(("rounds", "verdict"), [(1, "certify"), (2, "certify"), (3, "reject"), (10, "reject")])
def test_alpha_is_shared_by_the_planned_rounds(decide: Callable, rounds: int, verdict: str) -> None:
    decision = decide(15, 5, rounds)  # p = 0.02069, between 0.05 / 2 and 0.05 / 3
    assert decision.verdict == verdict
    assert decision.statistics["alpha_r"] == pytest.approx(0.05 / rounds)


def test_alpha_is_an_option_and_reaching_it_is_enough(decide: Callable) -> None:
    assert decide(5, 0, alpha=1 / 32).verdict == "certify"  # p = 1/32
    assert decide(5, 0, alpha=1 / 33).verdict == "reject"
    assert decide(120, 80, 5, alpha=0.01).verdict == "reject" and decide(120, 80, 3, alpha=0.01).verdict == "certify"


def test_a_promising_candidate_can_be_trained_on_without_a_certificate(decide: Callable) -> None:
    assert decide(15, 5, 10).verdict == "reject"
    assert decide(15, 5, 10, accept_alpha=0.1).verdict == "accept"
    assert decide(50, 50, 10, accept_alpha=0.1).verdict == "reject"
    assert decide(120, 80, 10, accept_alpha=0.1).verdict == "certify"


def test_a_level_2_alarm_vetoes_and_a_level_1_alarm_does_not(make_report: Callable[..., Report]) -> None:
    old, ahead, new = make_report([0.0] * 20), make_report([1.0] + [0.0] * 19), make_report([1.0] * 20)
    shown, grave = (Alert(alarm="length", level=level, text="x") for level in (1, 2))
    assert PairedTest().decide(old, old, new, [shown], [], 1).verdict == "certify"
    vetoed = PairedTest(accept_alpha=0.5).decide(old, old, new, [shown, grave, grave], [], 1)
    assert vetoed.verdict == "reject" and vetoed.reason.endswith("<= 0.05; vetoed by length")
    assert PairedTest().decide(old, ahead, new, [grave], [], 1).verdict == "rollback"


def test_it_is_one_sided_and_no_change_is_no_gain(decide: Callable) -> None:
    assert decide(5, 15).verdict == "reject" and decide(5, 15).statistics["p"] > 0.99
    nothing = decide(0, 0)
    assert (nothing.verdict, nothing.statistics["p"]) == ("reject", 1.0)


def test_the_interval_of_the_difference(decide: Callable) -> None:
    statistics = decide(15, 5).statistics
    assert statistics["delta"] == pytest.approx(10 / 60)
    low, high = statistics["ci"]  # differences: 15 times 1, 5 times -1, 40 times 0; their variance is 20/60 - (1/6)^2
    half = 1.959964 * ((20 / 60 - (10 / 60) ** 2) / 59) ** 0.5
    assert (low, high) == (pytest.approx(10 / 60 - half, abs=1e-6), pytest.approx(10 / 60 + half, abs=1e-6))


def test_only_problems_that_both_answered_count_and_the_champion_is_the_measure(make_report: Callable) -> None:
    champion, incumbent = make_report([0.0] * 20), make_report([1.0] * 20)
    candidate = Report(metrics={}, scores={f"p{i}": 1.0 for i in range(10, 40)})
    decision = PairedTest().decide(champion, incumbent, candidate, [], [], 1)
    assert (decision.statistics["n"], decision.statistics["b"], decision.verdict) == (10, 10, "certify")


def test_the_chance_of_any_false_certificate_in_a_run_stays_below_alpha(make_report: Callable) -> None:
    source, runs, rounds = random.Random(2), 300, 4
    false = 0
    for _ in range(runs):
        verdicts = set()
        for _ in range(rounds):  # champion and candidate differ on 40 problems, by luck only
            old = [float(source.random() < 0.5) for _ in range(40)]
            champion, candidate = make_report(old), make_report([1 - score for score in old])
            verdicts.add(PairedTest(alpha=0.2).decide(champion, champion, candidate, [], [], rounds).verdict)
        false += "certify" in verdicts
    assert 0 < false <= runs * 0.2 + 3 * (runs * 0.2 * 0.8) ** 0.5
