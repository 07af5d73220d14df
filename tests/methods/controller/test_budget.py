"""A run stops before a round that would not fit, with room left for the final exam."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfimprove.errors import RecipeError
from selfimprove.loop.loop import Runner
from selfimprove.methods.controller.budget import Budget
from selfimprove.records import Report
from selfimprove.rounds import Round, Stop

SETTINGS = {"gate_problems": 500, "sealed_problems": 1000, "control_problems": 0, "control_samples": 16}


def timed(number: int, work: float, evaluation: float, **more: Any) -> Round:
    """A round of that many seconds. Its champion is its incumbent, so two policies were examined; in round 0 one."""
    report = Report(metrics={}, scores={"p": 1.0})
    others = {"incumbent": report, "candidate": report} if number else {}
    seconds = {"acquisition" if number else "model": work, "evaluation": evaluation}
    return Round(**{"round": number, "rounds": 9, "champion": report, "seconds": seconds, **others, **more})


def test_time_spent_the_longest_round_and_the_exam_must_fit() -> None:
    # Round 0: 700 s. Rounds: 1000 s, 900 s. One policy takes 100 s at the gate's, so the end of the run
    # 2 x 2 x 100 + 2 x 100 = 600 s.
    history = [timed(0, 600, 100), timed(1, 800, 200), timed(2, 700, 200)]
    needed = (700 + 1000 + 900 + 1.1 * 1000 + 600) / 3600
    assert Budget(hours=needed + 1e-9).next(history, SETTINGS) == {}
    stop = Budget(hours=needed - 1e-9).next(history, SETTINGS)
    assert stop == Stop(
        reason="budget of 1.19444 hours: 0.722 are spent, the next round may take 0.306, the end of the run 0.167"
    )
    assert Budget(hours=needed + 0.1, margin=1.2).next(history, SETTINGS) == {}
    assert isinstance(Budget(hours=needed + 0.1, margin=2).next(history, SETTINGS), Stop)


def test_what_grew_is_taken_to_grow_again() -> None:
    history = [timed(0, 0, 0), timed(1, 100, 0), timed(2, 300, 0)]
    assert isinstance(Budget(hours=(400 + 1.1 * 500) / 3600 - 1e-9).next(history, SETTINGS), Stop)
    assert Budget(hours=(400 + 1.1 * 500) / 3600 + 1e-9).next(history, SETTINGS) == {}
    shrunk = [*history, timed(3, 100, 0)]  # the largest counts, a fall does not
    assert isinstance(Budget(hours=(500 + 1.1 * 300) / 3600 - 1e-9).next(shrunk, SETTINGS), Stop)
    assert Budget(hours=(500 + 1.1 * 300) / 3600 + 1e-9).next(shrunk, SETTINGS) == {}


def test_the_exam_takes_as_long_as_the_slowest_policy_so_far_foretells() -> None:
    ahead = Report(metrics={}, scores={"p": 0.0})
    history = [timed(0, 0, 50), timed(1, 0, 240), timed(2, 0, 240, incumbent=ahead)]  # 50, 120 and 80 s a policy
    exams = 2 * 120 * 1000 / 500 + 2 * 120
    needed = (50 + 240 + 240 + 1.1 * 240 + exams) / 3600
    assert Budget(hours=needed + 1e-9).next(history, SETTINGS) == {}
    assert isinstance(Budget(hours=needed - 1e-9).next(history, SETTINGS), Stop)


def test_money_is_time_at_a_price() -> None:
    history = [timed(0, 600, 100), timed(1, 800, 200)]
    needed = (700 + 1000 + 1.1 * 1000 + 600) / 3600 * 2.5
    assert Budget(money=needed + 1e-9, price_per_hour=2.5).next(history, SETTINGS) == {}
    stop = Budget(money=needed - 1e-9, price_per_hour=2.5).next(history, SETTINGS)
    assert isinstance(stop, Stop) and stop.reason.startswith("budget of 2.36111 money: 1.18 are spent")


def test_tokens_of_all_stages_count() -> None:
    counts = {"acquisition/tokens": 900.0, "evaluation/tokens": 100.0, "acquisition/records": 5e9}
    history = [timed(0, 0, 0), timed(1, 0, 0, counts=counts)]
    assert Budget(tokens=2100).next(history, SETTINGS) == {}  # 1000 + 1.1 x 1000
    assert isinstance(Budget(tokens=2099).next(history, SETTINGS), Stop)


def test_training_steps_are_known_so_all_that_fit_are_made() -> None:
    history = [timed(0, 0, 0)]
    for number in (1, 2, 3, 4):
        history.append(timed(number, 0, 0, counts={"optimization/steps": 40.0}))
        said = Budget(training_steps=160).next(history, SETTINGS)
        assert said == (
            {} if number < 4 else Stop(reason="budget of 160 training steps: 160 are spent, the next round may take 40")
        )


@pytest.mark.parametrize("limit", ["tokens", "training_steps"])
def test_a_limit_on_what_no_step_counts_is_refused(limit: str) -> None:
    assert Budget(**{limit: 1}).next([timed(0, 9, 9)], SETTINGS) == {}  # round 0 draws and trains nothing
    with pytest.raises(RecipeError, match="no step of round 1 counts them"):
        Budget(**{limit: 1}).next([timed(0, 9, 9), timed(1, 9, 9)], SETTINGS)


def test_without_a_limit_it_never_stops_and_the_tightest_limit_counts() -> None:
    history = [timed(0, 1e9, 1e9), timed(1, 1e9, 1e9)]
    assert Budget().next(history, {}) == {}
    assert isinstance(Budget(hours=1e9, money=1, price_per_hour=1).next(history, SETTINGS), Stop)


def test_money_without_a_price_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"controller\.budget\.money needs controller\.budget\.price_per_hour"):
        Budget(money=5)


def test_a_replay_says_the_same_whatever_was_noted_since() -> None:
    """Seconds of controllers are noted after they have decided; the order of the steps is that of a set."""
    history = [timed(0, 600, 100), timed(1, 800, 200)]
    needed = (700 + 1000 + 1.1 * 1000 + 600) / 3600
    later = [replace(past, seconds={"controller": 1e4, **dict(reversed(past.seconds.items()))}) for past in history]
    for hours in (needed - 1e-9, needed + 1e-9):
        assert Budget(hours=hours).next(later, SETTINGS) == Budget(hours=hours).next(history, SETTINGS)


@given(
    st.lists(st.tuples(st.floats(1, 1e5), st.floats(1, 1e4)), min_size=2, max_size=12),
    st.floats(1e-3, 500),
)
def test_a_run_that_keeps_its_pace_ends_within_its_hours(rounds: list[tuple[float, float]], hours: float) -> None:
    """No round takes longer than 1.1 times the longest before, no policy longer at its exam than at the gate's."""
    budget, history, longest, slowest = Budget(hours=hours), [timed(0, *rounds[0])], 0.0, rounds[0][1]
    for number, (work, evaluation) in enumerate(rounds[1:], 1):
        total = work + evaluation
        scale = min(1.0, 1.1 * longest / total) if longest else 1.0
        history.append(timed(number, scale * work, scale * evaluation))
        longest, slowest = max(longest, scale * total), max(slowest, scale * evaluation / 2)
        spent = sum(sum(past.seconds.values()) for past in history)
        fits = spent + 6 * slowest <= hours * 3600 * (1 + 1e-9)  # two exams of 1000, two of 500 problems
        assert fits or number == 1, "the first round is always run"
        if isinstance(budget.next(history, SETTINGS), Stop):
            break


@given(st.lists(st.tuples(st.floats(0, 1e4), st.floats(0, 1e4)), min_size=1, max_size=8), st.floats(0.01, 50))
def test_a_larger_budget_never_stops_earlier(rounds: list[tuple[float, float]], hours: float) -> None:
    history = [timed(number, *seconds) for number, seconds in enumerate(rounds)]
    if Budget(hours=hours).next(history, SETTINGS) == {}:
        assert Budget(hours=hours * 1.5).next(history, SETTINGS) == {}


@pytest.mark.runs
def test_a_run_ends_there_and_holds_its_exam(make_run: Callable) -> None:
    folder, log = make_run("controller=budget", "controller.budget.hours=1e-9", "rounds=4")
    summary = Runner(folder, log).run()
    assert summary["rounds"] == 1 and summary["stopped"].startswith("budget of 1e-09 hours")
    assert summary["sealed"]["n"] == 100
