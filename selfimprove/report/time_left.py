"""The time that a run still takes: the rounds that are left as long as the last ones, and the exam."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

AVERAGED = 10
"""The last rounds, whose mean is expected of the next ones."""


@dataclass(frozen=True)
class Left:
    """Seconds, about."""

    rounds: float
    exam: float
    """Of the test after the last round, the sealed exam and the null round, if the recipe has one."""


def left(
    lines: Sequence[Mapping[str, Any]], to_go: int, spent: Mapping[str, float], settings: Mapping[str, Any]
) -> Left | None:
    """The time from now to the end; None before the first round is finished.

    The exam takes as long for each of its problems as the tests of a round do, which compare as many answers to each:
    three models there, two models and the votes here.

    Args:
        lines: the finished rounds, each with the `seconds` of its steps.
        to_go: rounds that are not finished.
        spent: seconds of the finished steps of the round in progress.
        settings: of the run.
    """
    took = [line["seconds"] for line in lines[-AVERAGED:] if line["round"] and line.get("seconds")]
    if not took:
        return None
    mean = {
        step: sum(one.get(step, 0.0) for one in took) / len(took) for step in {step for one in took for step in one}
    }
    test = mean.get("evaluation", 0.0)
    problems, sealed = settings.get("gate_problems"), settings.get("sealed_problems")
    share = sealed / problems if isinstance(problems, int) and isinstance(sealed, int) and problems > 0 else 1.0
    null = mean.get("optimization", 0.0) + test if settings.get("null_round") else 0.0
    rounds = max(0.0, to_go * sum(mean.values()) - sum(spent.values()))
    return Left(rounds, test * (1 + share) + null)
