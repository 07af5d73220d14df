"""A run ends when its gains are shown to be small, or when round after round fails."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from selfimprove.loop.loop import Runner
from selfimprove.methods.controller.saturation import Saturation
from selfimprove.rounds import Stop


def test_the_bound_is_that_of_the_pooled_differences(make_history: Callable) -> None:
    # 3000 pooled pairs, 150 of them differ, mean 0: variance 150 / 2999, error sqrt(0.050017 / 3000) = 0.0040832,
    # bound 1.644854 x 0.0040832 = 0.0067162.
    history = make_history("hhh", n=1000, gained=25, lost=25)
    reason = "saturated: the last 3 rounds gained at most 0.7 points per round, below 1 (95 % bound)"
    assert Saturation().next(history, {}) == Stop(reason=reason)
    assert Saturation(upper=0.00672).next(history, {}) != {}
    assert Saturation(upper=0.00671).next(history, {}) == {}


@pytest.mark.parametrize(
    ("gained", "lost", "stops"),
    [
        (75, 75, False),  # as many changes as usual: 1.16 points are still possible
        (40, 25, False),  # a gain of 1.5 points
        (25, 40, True),
        (0, 0, True),  # nothing changes at all: 3 of 3000 may, the bound is 0.1 points
    ],
)
def test_what_could_still_be_gained_decides(make_history: Callable, gained: int, lost: int, stops: bool) -> None:
    said = Saturation().next(make_history("hhh", n=1000, gained=gained, lost=lost), {})
    assert isinstance(said, Stop) == stops


def test_few_problems_show_nothing(make_history: Callable) -> None:
    assert Saturation().next(make_history("hhh", n=100, gained=2, lost=2), {}) == {}
    assert Saturation(rounds=8).next(make_history("h" * 7, n=1000), {}) == {}
    assert Saturation(rounds=8).next(make_history("h" * 8, n=1000), {}) != {}
    assert Saturation().next([], {}) == {}


def test_only_the_last_rounds_are_pooled_and_a_step_forward_is_no_saturation(
    make_round: Callable, make_history: Callable
) -> None:
    flat = {"n": 1000, "gained": 25, "lost": 25}
    early = [make_round(0), make_round(1, "h", n=1000, gained=300)]
    assert isinstance(Saturation().next([*early, *(make_round(i, "h", **flat) for i in (2, 3, 4))], {}), Stop)
    assert Saturation().next([*early, *(make_round(i, "h", **flat) for i in (2, 3))], {}) == {}
    assert Saturation().next(make_history("ahh", **flat), {}) == {}
    assert Saturation().next(make_history("chh", **flat), {}) == {}
    certified = [make_round(0), make_round(1, "h", **flat, certified=True), *make_history("hh", **flat)[1:]]
    assert Saturation().next(certified, {}) == {}


def test_the_gain_is_that_over_the_incumbent(make_history: Callable, make_report: Callable) -> None:
    """A candidate that adds nothing to an incumbent ahead of the champion is no gain of this round."""
    low, high = make_report([0.0] * 100 + [1.0] * 900), make_report([1.0] * 1000)
    history = make_history("hhh", champion=low, incumbent=high, candidate=high)
    assert isinstance(Saturation().next(history, {}), Stop)
    assert Saturation().next(make_history("hhh", champion=low, incumbent=low, candidate=high), {}) == {}


@pytest.mark.parametrize(
    ("verdicts", "failed"),
    [
        ("rr", None),
        ("rrr", 3),
        ("rbr", 3),
        ("arrr", 3),
        ("rrrr", 4),
        ("rrhr", None),  # a held candidate ends the row
        ("rrar", None),
        ("rrrc", None),
    ],
)
def test_rejected_candidates_in_a_row_end_the_run(make_history: Callable, verdicts: str, failed: int | None) -> None:
    expected = {} if failed is None else Stop(reason=f"failed safe: {failed} candidates in a row were rejected")
    assert Saturation(rounds=9).next(make_history(verdicts, gained=4, lost=8), {}) == expected


def test_a_round_that_certifies_has_not_failed(make_round: Callable) -> None:
    history = [make_round(i, "r", gained=4, lost=8, certified=i == 2) for i in range(4)]
    assert Saturation(rounds=9).next(history, {}) == {}
    assert Saturation(rounds=9, max_rejects=1).next(history, {}) != {}


def test_alarms_that_the_next_round_does_not_resolve_end_the_run(make_round: Callable) -> None:
    def after(*rounds: tuple[tuple[str, int], ...]) -> object:
        history = [make_round(i, "h", alarms=alarms) for i, alarms in enumerate([(), *rounds])]
        return Saturation(rounds=9).next(history, {})

    one, other, mild = ("length", 2), ("entropy", 2), ("length", 1)
    assert after((one,)) == {}
    assert after((one, other)) == {}, "two alarms about one candidate are one failure"
    assert after((one,), ()) == {} and after((one,), (), (one,)) == {} and after((one,), (mild,)) == {}
    told = "failed safe: alarms of level 2 in 2 rounds in a row (entropy, length)"
    assert after((one,), (mild, other)) == Stop(reason=told)


@pytest.mark.runs
def test_a_run_ends_there_and_says_why(make_run: Callable) -> None:
    folder, log = make_run(
        "controller=saturation",
        "controller.saturation.max_rejects=2",
        "optimization.practice.gain=-0.2",
        "audit_problems=0",
        "rounds=5",
    )
    summary = Runner(folder, log).run()
    assert summary["rounds"] == 2 and summary["stopped"] == "failed safe: 2 candidates in a row were rejected"
