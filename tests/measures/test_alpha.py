"""The alpha of a run: rounds that are added later have what tests that certified give back, and never more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from selfimprove.interfaces import Gate
from selfimprove.measures.alpha import decisions, extended, remaining, used
from selfimprove.methods.gate.paired_test import PairedTest
from selfimprove.methods.gate.ratchet import Ratchet
from selfimprove.records import Decision, Report
from selfimprove.rounds import Round

EMPTY = {str(i): 0.0 for i in range(20)}
SAME, BETTER = (
    Report(metrics={}, scores=EMPTY),
    Report(metrics={}, scores={**EMPTY, **{str(i): 1.0 for i in range(12)}}),
)
EVEN = Report(metrics={}, scores=EMPTY | {"0": 1.0})
"""12 problems gained, p = 1/4096: certified at any share of .05 here. One gained, p = 1/2: never."""


def play(gate: Gate, wins: Sequence[bool | None], goals: Sequence[int]) -> tuple[list[Round], list[float]]:
    """A run whose tests pass or not; goals[i] is the number of rounds planned in round i + 1; returns its levels.

    None: the incumbent is the champion, so there is nothing to certify. A goal that is reached ends the run, with the
    last test; the next goal begins again.
    """
    history, levels = [Round(round=0, rounds=goals[0], champion=SAME)], list[float]()
    for number, (win, goal) in enumerate(zip(wins, goals, strict=True), 1):
        tested = {None: SAME, True: BETTER, False: EVEN}[win]
        made = gate.decide(SAME, tested, tested, [], history, max(goal, number))
        assert (made.certified or made.verdict == "certify") == (win is True and made.statistics["alpha_r"] > 0)
        history.append(Round(round=number, rounds=goals[0], champion=SAME, decision=made))
        levels.append(made.statistics["alpha_r"])
        if gate.lagged and win is not None and number == goal:
            last = gate.confirm(SAME, tested, history)
            history[-1] = replace(history[-1], confirmation=last)
            levels.append(last.statistics["alpha_r"])
    return history, levels


def test_added_rounds_have_what_certificates_give_back() -> None:
    """Four rounds planned, .05: round 1 has nothing to test, the other three and the last test have .0125 each.

    All but the one of round 3 certify, so .0375 is back when two rounds are added. They and a last test have a third of
    it each, and certify nothing.
    """
    history, levels = play(Ratchet(), [None, True, False, True, False, False], [4, 4, 4, 4, 6, 6])
    assert levels == pytest.approx([0, 0.0125, 0.0125, 0.0125, 0.0125, 0.0125, 0.0125, 0.0125])
    assert [one.certified for one in decisions(history)] == [False, True, False, True, True, False, False, False]
    assert Ratchet().left(history[:5]) == pytest.approx(0.0375) and Ratchet().left(history) == 0.0


def test_nothing_is_left_where_nothing_was_certified() -> None:
    history, levels = play(Ratchet(), [None, False, False, True], [3, 3, 3, 4])
    assert levels[:4] == pytest.approx([0, 0.05 / 3, 0.05 / 3, 0.05 / 3]) and levels[4:] == [0.0, 0.0]
    assert Ratchet().left(history[:4]) == 0.0 and not decisions(history)[-1].certified


def test_the_plan_alone_is_as_it_was() -> None:
    """Whatever certifies, a run that keeps to its plan spends alpha / rounds a test."""
    for wins in ([True] * 4, [False] * 4):
        assert play(Ratchet(), [None, *wins], [5] * 5)[1] == pytest.approx([0, *[0.01] * 5])
        assert play(PairedTest(), wins, [4] * 4)[1] == [0.05 / 4] * 4


def test_rounds_added_to_a_paired_test_share_what_is_left() -> None:
    """Two rounds of .025; one certified: .025 is back, for two rounds of .0125. Without a certificate: nothing."""
    assert play(PairedTest(), [True, False, False, False], [2, 2, 4, 4])[1] == pytest.approx(
        [0.025, 0.025, 0.0125, 0.0125]
    )
    assert play(PairedTest(), [False, False, True], [2, 2, 3])[1] == [0.025, 0.025, 0.0]
    fewer_and_back = play(PairedTest(), [False] * 5, [5, 5, 3, 5, 5])[1]
    assert fewer_and_back == pytest.approx([0.01, 0.01, 0.03, 0, 0])


runs = st.lists(st.tuples(st.sampled_from([None, True, False]), st.integers(0, 4)), min_size=1, max_size=12)


@given(runs)
@example([(None, 1), (True, 0), (False, 0), (True, 3), (False, 0), (False, 0)])
def test_no_run_can_certify_falsely_with_more_than_alpha(run: list[tuple[bool | None, int]]) -> None:
    """Up to any certificate taken for the first false one, its level and those of the tests that failed are at most
    alpha: the bound of the module's docstring, for any plan that is changed at any time."""
    wins = [win for win, _ in run]
    for gate in (Ratchet(), PairedTest()):
        goals, goal = list[int](), 0
        for number, (_, more) in enumerate(run, 1):
            goal = max(goal, number) + (more if number > goal else 0)
            goals.append(goal)
        had = decisions(play(gate, wins if gate.lagged else [win is True for win in wins], goals)[0])
        for place, one in enumerate(had):
            assert used(had[:place], recycled=True) + one.statistics["alpha_r"] <= 0.05 + 1e-9


def test_what_is_used_what_is_left_and_when_a_round_is_added() -> None:
    shares = [
        Decision(verdict="hold", certified=sure, reason="", statistics={"alpha_r": 0.02}) for sure in (True, False)
    ]
    assert (used(shares, False), used(shares, True)) == (0.04, 0.02)
    assert (remaining(0.05, shares, True), remaining(0.04, shares, False)) == (pytest.approx(0.03), 0.0)
    history = [Round(round=number, rounds=2, champion=SAME) for number in range(3)]
    assert [extended(history[:number], number) for number in (1, 2, 3)] == [False, False, True]
    ended = [*history[:1], replace(history[1], confirmation=shares[0])]
    assert extended(ended, 2)
