"""The level rises round by round, or when it is mastered, and never beyond the top."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from selfimprove.errors import RecipeError
from selfimprove.loop.loop import Runner
from selfimprove.methods.controller.curriculum import Curriculum
from selfimprove.records import read_records
from selfimprove.rounds import Round


def settings(level: Any, **more: Any) -> dict[str, Any]:
    return {"task": {"chain_sums": {"level": level, "max_length": 6, **more}}}


@pytest.fixture
def after(make_report: Callable, make_rollout: Callable) -> Callable[..., list[Round]]:
    """`after([("1+2", 1.0), ...])`: a history whose last candidate scored this on these problems."""

    def make(marks: list[tuple[str, float | None]]) -> list[Round]:
        rollouts = [make_rollout("#0", key, reward=score) for key, score in marks]
        report = make_report([], rollouts)
        return [Round(round=0, rounds=5, champion=report), Round(round=1, rounds=5, champion=report, candidate=report)]

    return make


def test_without_a_bound_every_round_is_harder(after: Callable) -> None:
    history = after([("1+2+3", 0.0)])
    assert Curriculum().next(history, settings(3)) == {"task.chain_sums.level": 4}
    assert Curriculum(step=2).next(history, settings(3)) == {"task.chain_sums.level": 5}


def test_it_stops_at_the_top(after: Callable) -> None:
    history = after([])
    assert Curriculum().next(history, settings(6)) == {"task.chain_sums.level": 6}
    assert Curriculum(step=5).next(history, settings(4)) == {"task.chain_sums.level": 6}
    assert Curriculum(max_level=9).next(history, settings(8)) == {"task.chain_sums.level": 9}


def test_it_never_makes_the_problems_easier(after: Callable) -> None:
    assert Curriculum(max_level=5).next(after([]), settings(6)).get("task.chain_sums.level", 6) == 6


@pytest.mark.parametrize(
    ("marks", "rises"),
    [
        ([("1+2+3", 1.0), ("3+2+1", 0.0)], True),  # 0.5 at level 3
        ([("1+2+3", 1.0), ("3+2+1", 0.0), ("2+2+2", 0.0)], False),
        ([("1+2+3", 0.0), ("1+2+3+4", 1.0), ("1+2", 1.0)], False),  # other levels do not count
        ([("1+2+3", 1.0), ("1+2+3+4", 0.0), ("1+2", 0.0)], True),
        ([("1+2+3", 1.0), ("3+2+1", None)], True),  # what cannot be scored does not count
        ([("1+2+3+4", 0.0)], True),  # nothing was measured at the level
    ],
)
def test_with_a_bound_it_rises_when_the_present_level_is_mastered(after: Callable, marks: list, rises: bool) -> None:
    expected = {"task.chain_sums.level": 4} if rises else {}
    assert Curriculum(min_score=0.5).next(after(marks), settings(3)) == expected


def test_only_the_last_round_counts(after: Callable) -> None:
    good, bad = after([("1+2+3", 1.0)]), after([("1+2+3", 0.0)])
    assert Curriculum(min_score=0.5).next([*good, bad[1]], settings(3)) == {}
    assert Curriculum(min_score=0.5).next([*bad, good[1]], settings(3)) == {"task.chain_sums.level": 4}


@pytest.mark.parametrize("level", [None, "easy"])
def test_a_task_without_a_starting_level_is_a_mistake_of_the_recipe(after: Callable, level: Any) -> None:
    with pytest.raises(RecipeError, match=r"set task\.chain_sums\.level to a number"):
        Curriculum().next(after([]), settings(level))


@pytest.mark.runs
def test_the_overrides_reach_the_next_round(make_run: Callable) -> None:
    folder, log = make_run("controller=curriculum", "task.chain_sums.level=4", "rounds=2")
    Runner(folder, log).run()
    levels = [
        {record.prompt.info["level"] for record in read_records(folder.step(number, "acquisition") / "output.jsonl")}
        for number in (1, 2)
    ]
    assert levels == [{4}, {5}]


def test_the_top_is_the_task_s_longest_problem_or_its_highest_level(after: Callable) -> None:
    history = after([])
    highest = {"task": {"reasoning_gym": {"level": 3, "max_level": 4}}}
    assert Curriculum(step=3).next(history, highest) == {"task.reasoning_gym.level": 4}
    assert Curriculum(step=9).next(history, settings(3)) == {"task.chain_sums.level": 6}
