"""Stop after some rounds in a row without an accepted candidate."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from selfimprove.loop.loop import Runner
from selfimprove.methods.controller.plateau import Plateau
from selfimprove.records import Decision
from selfimprove.rounds import Round, Stop

VERDICTS = {"c": "certify", "a": "accept", "h": "hold", "r": "reject"}


@pytest.mark.parametrize(
    ("verdicts", "patience", "barren"),
    [
        ("", 2, None),
        ("r", 2, None),
        ("rr", 2, 2),
        ("crr", 2, 2),
        ("rrc", 2, None),
        ("rca", 1, None),
        ("rcar", 1, 1),
        ("hh", 2, 2),  # a held candidate is no step forward
        ("rrcrrr", 4, None),
        ("rcrrrr", 4, 4),
    ],
)
def test_it_counts_rounds_since_the_last_step_forward(
    make_report: Callable, verdicts: str, patience: int, barren: int | None
) -> None:
    report = make_report([1.0])
    history = [Round(round=0, rounds=9, champion=report)]  # round 0 has no decision
    for number, letter in enumerate(verdicts, 1):
        decision = Decision(verdict=VERDICTS[letter], reason="r")
        history.append(Round(round=number, rounds=9, champion=report, candidate=report, decision=decision))
    expected = {} if barren is None else Stop(reason=f"no accepted candidate in {barren} rounds")
    assert Plateau(patience=patience).next(history, {}) == expected


@pytest.mark.runs
def test_a_run_ends_there_and_says_why(make_run: Callable) -> None:
    folder, log = make_run(
        "controller=plateau", "controller.plateau.patience=1", "optimization.practice.gain=0", "rounds=4"
    )
    summary = Runner(folder, log).run()
    assert summary["rounds"] == 1 and summary["stopped"] == "no accepted candidate in 1 rounds"
