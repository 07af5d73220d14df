"""The two-tier gate: training goes on early, certificates come late and only for what was fixed before."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfimprove.measures.alpha import decisions, used
from selfimprove.measures.statistics import mcnemar
from selfimprove.methods.gate.ratchet import Ratchet, accept, certify
from selfimprove.records import Alert, Decision, Report
from selfimprove.rounds import Round

SAME = [1.0] * 50 + [0.0] * 50


def marks(gained: int, lost: int) -> list[float]:
    """SAME with so many problems gained and lost."""
    return [0.0] * lost + [1.0] * (50 - lost) + [1.0] * gained + [0.0] * (50 - gained)


def past(make_report: Callable[..., Report], rounds: int, alphas: Sequence[float]) -> list[Round]:
    """Round 0 and one round for each alpha that was spent."""
    report, spending = make_report(SAME), [None, *alphas]
    return [
        Round(
            round=number,
            rounds=rounds,
            champion=report,
            decision=None if alpha is None else Decision(verdict="hold", reason="", statistics={"alpha_r": alpha}),
        )
        for number, alpha in enumerate(spending)
    ]


@pytest.fixture
def decide(make_report: Callable[..., Report]) -> Callable[..., Decision]:
    """`decide(incumbent, candidate)`: the decision of round 2 of 5, each given as (gained, lost) over the champion."""

    def made(incumbent: tuple[int, int], candidate: tuple[int, int], alerts: Sequence[Alert] = ()) -> Decision:
        champion, *others = (make_report(marks(*pair)) for pair in ((0, 0), incumbent, candidate))
        return Ratchet().decide(champion, *others, alerts, past(make_report, 5, [0.0]), 5)

    return made


def test_a_candidate_is_never_certified_in_the_round_that_made_it(decide: Callable[..., Decision]) -> None:
    decision = decide((0, 0), (40, 0))
    assert (decision.verdict, decision.certified) == ("accept", False)
    assert decision.statistics["alpha_r"] == 0.0, "no certification test, no alpha"


def test_an_incumbent_is_certified_on_problems_drawn_after_it(decide: Callable[..., Decision]) -> None:
    decision = decide((20, 2), (20, 2))
    assert decision.certified and decision.statistics["alpha_r"] == pytest.approx(0.05 / 5)
    assert decision.statistics["incumbent"] == {"b": 20, "c": 2, "p": mcnemar(20, 2)}


def test_too_weak_for_a_certificate_goes_on_and_a_worse_one_goes_back(decide: Callable[..., Decision]) -> None:
    assert not decide((8, 2), (8, 2)).certified  # p = 0.055
    assert decide((2, 8), (40, 0)).verdict == "accept"  # p = 0.055 that it is worse: not enough
    back = decide((2, 10), (40, 0))  # p = 0.019: the candidate is dropped with the incumbent that it came from
    assert (back.verdict, back.certified) == ("rollback", False)


@pytest.mark.parametrize(
    ("gained", "lost", "verdict"),
    [(5, 1, "accept"), (4, 2, "hold"), (0, 0, "reject"), (2, 9, "reject"), (3, 3, "hold")],
)
def test_the_candidate(decide: Callable[..., Decision], gained: int, lost: int, verdict: str) -> None:
    assert decide((0, 0), (gained, lost)).verdict == verdict


def test_a_candidate_below_the_champion_is_not_accepted_however_much_it_gains_on_the_incumbent() -> None:
    assert accept((12, 2), (5, 6), 0.2, rollback_alpha=0.05)
    assert not accept((12, 2), (2, 10), 0.2, rollback_alpha=0.05)
    assert (
        certify((2, 10), 0.01, rollback_alpha=0.05) == "rollback"
        and certify((5, 5), 0.01, rollback_alpha=0.05) == "hold"
    )


def test_a_level_2_alarm_vetoes_and_a_level_1_alarm_does_not(decide: Callable[..., Decision]) -> None:
    alarms = [Alert(alarm="length", level=level, text="x") for level in (1, 2)]
    assert decide((0, 0), (20, 0), alarms[:1]).verdict == "accept"
    vetoed = decide((0, 0), (20, 0), alarms)
    assert vetoed.verdict == "rollback" and "vetoed by length" in vetoed.reason


def test_a_guard_that_falls_vetoes_and_one_that_is_unproven_is_named(make_report: Callable[..., Report]) -> None:
    champion, better = make_report(SAME), make_report(marks(30, 0))
    probe = {str(i): 1.0 for i in range(100)}
    fallen = {str(i): float(i >= 12) for i in range(100)}
    champion = replace(champion, parts={"probe/short": probe, "ood/long": probe})
    bad = replace(better, parts={"probe/short": fallen, "ood/long": probe})
    good = replace(better, parts={"probe/short": {**probe, "0": 0.0, "1": 0.0}, "ood/long": probe})
    history = past(make_report, 5, [0.0])
    assert Ratchet().decide(champion, champion, bad, [], history, 5).verdict == "rollback"
    assert Ratchet().decide(champion, champion, good, [], history, 5).verdict == "accept"
    rolled = Ratchet().decide(champion, bad, bad, [], history, 5)
    assert rolled.verdict == "rollback" and not rolled.certified and "probe/short" in rolled.reason
    certified = Ratchet().decide(champion, good, good, [], history, 5)
    assert certified.certified and certified.statistics["unproven"] == ["probe/short"]


@given(tests=st.lists(st.booleans(), min_size=0, max_size=12))
def test_the_alpha_of_all_tests_stays_within_the_run_s(tests: list[bool]) -> None:
    """Whatever rounds have an incumbent ahead of the champion, the last test after the run included."""
    rounds, ahead = len(tests), Report(metrics={}, scores={str(i): float(i < 8) for i in range(10)})
    champion = Report(metrics={}, scores={str(i): float(i >= 2) for i in range(10)})  # 2 gained, 2 lost
    history = [Round(round=0, rounds=rounds, champion=champion)]
    for number, pending in enumerate(tests, 1):
        incumbent = ahead if pending and number > 1 else champion
        decision = Ratchet().decide(champion, incumbent, incumbent, [], history, rounds)
        history.append(Round(round=number, rounds=rounds, champion=champion, decision=decision))
    last = Ratchet().confirm(champion, ahead, history)
    history[-1] = replace(history[-1], confirmation=last)
    assert last.statistics["alpha_r"] > 0 and used(decisions(history), recycled=False) <= 0.05 + 1e-12
    if all(tests):
        assert last.statistics["alpha_r"] == pytest.approx(0.05 / max(1, rounds))


@pytest.mark.runs
def test_no_certificate_when_nothing_improves(make_report: Callable[..., Report]) -> None:
    """200 runs of 5 rounds in which every policy is a redraw of the same skill: at most 5 % certify anything."""
    draw, false = random.Random(0), 0
    for _ in range(200):
        history, pending, certified = [Round(round=0, rounds=5, champion=make_report(SAME))], False, False
        for number in range(1, 6):
            champion, incumbent, candidate = (
                make_report([float(draw.random() < 0.5) for _ in range(100)]) for _ in range(3)
            )
            decision = Ratchet().decide(champion, incumbent if pending else champion, candidate, [], history, 5)
            certified |= decision.certified
            pending = decision.verdict == "accept" or (
                pending and decision.verdict != "rollback" and not decision.certified
            )
            history.append(Round(round=number, rounds=5, champion=champion, decision=decision))
        false += certified
    assert false <= 16  # 5 % and three standard errors


@given(order=st.permutations(range(40)))
def test_the_order_of_the_problems_does_not_matter(order: list[int]) -> None:
    source = random.Random(3)
    reports = [{str(i): float(source.random() < p) for i in range(40)} for p in (0.3, 0.6, 0.8)]
    plain = [Report(metrics={}, scores=scores) for scores in reports]
    mixed = [Report(metrics={}, scores={str(i): scores[str(i)] for i in order}) for scores in reports]
    history = [Round(round=0, rounds=3, champion=plain[0])] * 2
    assert Ratchet().decide(*plain, [], history, 3) == Ratchet().decide(*mixed, [], history, 3)
