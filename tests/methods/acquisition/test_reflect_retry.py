"""A reflection is worth what the try after it is worth, and only failures are reflected on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from selfimprove.methods.acquisition.reflect_retry import ReflectRetry

GOOD, BAD = "3+5=8;8+8=6#6", "3+5=9;9+8=7#7"
ASKED = f"J:3+5+8={BAD}|"


def again(reflection: str) -> str:
    return f"R:3+5+8={BAD}\n{reflection}|"


@pytest.fixture
def play(make_context: Callable, make_engine: Callable, make_rollout: Callable) -> Callable[..., Any]:
    """`play({ASKED: {...}})`: what two first tries at 3+5+8, one right and one wrong, lead to."""

    def run(table: dict[str, dict[str, float]], **options: Any) -> tuple[list, Any]:
        context = make_context(make_engine(table, "lost"))
        method = ReflectRetry(**{"samples": 40, **options})
        return list(method.acquire([make_rollout(GOOD), make_rollout(BAD)], context)), context

    return run


TABLE = {ASKED: {"carry": 1.0, "hurry": 1.0}, again("carry"): {GOOD: 1.0}, again("hurry"): {BAD: 1.0}}


def test_reflections_by_hand(play: Callable) -> None:
    made, context = play(TABLE)
    assert len(made) == 40 and {(r.text, r.reward) for r in made} == {("carry", 1.0), ("hurry", 0.0)}
    assert {r.prompt.prompt[-1]["content"] for r in made} == {ASKED}
    assert all(r.prompt.answer is None for r in made)  # a reflection is no answer to the problem
    assert context.log.metrics["reflect_retry/failed"] == 0.5
    assert 0.3 < context.log.metrics["reflect_retry/rose"] < 0.7


def test_second_tries_can_be_given_on_as_answers_to_the_problem(play: Callable) -> None:
    made, _ = play(TABLE, tries=True)
    tries = [r for r in made if r.prompt.prompt[-1]["content"] == "S:3+5+8="]
    assert tries and {r.text for r in tries} == {GOOD} and {r.logprobs for r in tries} == {None}
    assert len(tries) == sum(r.reward == 1.0 for r in made) - len(tries)


def test_without_failures_nobody_is_asked(
    make_context: Callable, make_engine: Callable, make_rollout: Callable
) -> None:
    context = make_context(make_engine({}))
    assert list(ReflectRetry().acquire([make_rollout(GOOD)], context)) == []
    assert context.policy.engine.seen == []
