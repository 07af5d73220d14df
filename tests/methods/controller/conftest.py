"""Histories for controllers: rounds with known verdicts, gains, alarms, counts and seconds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from selfimprove.records import Alert, Decision, Report
from selfimprove.rounds import Round

VERDICTS = {"c": "certify", "a": "accept", "h": "hold", "r": "reject", "b": "rollback"}


@pytest.fixture
def make_round(make_report: Callable[..., Report]) -> Callable[..., Round]:
    """`make_round(2, "r", gained=5, lost=3, n=100)`: champion and incumbent alike, the candidate 2 problems ahead."""

    def make(
        number: int,
        verdict: str = "h",
        *,
        gained: int = 0,
        lost: int = 0,
        n: int = 100,
        alarms: Sequence[tuple[str, int]] = (),
        certified: bool = False,
        **more: Any,
    ) -> Round:
        base, fallen = make_report([1.0] * (n // 2) + [0.0] * (n - n // 2)), more.pop("fallen", ())
        if number == 0:
            return Round(round=0, rounds=9, champion=base, **more)
        marks = [0.0] * lost + [1.0] * (n // 2 - lost) + [1.0] * gained + [0.0] * (n - n // 2 - gained)
        values = {
            "champion": base,
            "incumbent": base,
            "candidate": make_report(marks),
            "alerts": [Alert(alarm=name, level=level, text="t") for name, level in alarms],
            "decision": Decision(
                verdict=VERDICTS[verdict], reason="r", certified=certified, statistics={"fallen": list(fallen)}
            ),
        }
        return Round(round=number, rounds=9, **{**values, **more})

    return make


@pytest.fixture
def make_history(make_round: Callable[..., Round]) -> Callable[..., list[Round]]:
    """`make_history("arr", n=50)`: round 0, then a round for each letter, all with the same numbers."""

    def make(verdicts: str, **same: Any) -> list[Round]:
        return [make_round(0), *(make_round(number, letter, **same) for number, letter in enumerate(verdicts, 1))]

    return make
