"""Pipelines of three roles: all turns earn what the end earns, and failures come back mended."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from selfimprove.errors import RecipeError
from selfimprove.methods.acquisition.role_pipeline import RolePipeline

GOOD, BAD = "3+5=8;8+8=6#6", "3+5=9;9+8=7#7"
SOLVE, HINT = "S:3+5+8=", "H:6|3+5+8="


def judged(attempt: str) -> str:
    return f"J:3+5+8={attempt}|"


def refined(attempt: str) -> str:
    return f"R:3+5+8={attempt}|"


@pytest.fixture
def play(make_context: Callable, make_engine: Callable, make_prompt: Callable) -> Callable[..., Any]:
    """`play(table)`: the turns on 3+5+8 as (role, text, score), and the context."""

    def run(table: dict[str, str], **options: Any) -> tuple[list[tuple[str, str, float]], Any]:
        context = make_context(make_engine({name: {text: 1.0} for name, text in table.items()}, "lost"))
        made: Sequence[Any] = RolePipeline(**{"samples": 1, **options}).acquire([make_prompt()], context)
        return [(r.info["role"], r.text, r.reward) for r in made], context

    return run


@pytest.mark.parametrize(
    ("table", "turns"),
    [
        # called right and is right: two turns, no revision
        ({SOLVE: GOOD, judged(GOOD): "#y"}, [("solver", GOOD, 1.0), ("critic", "#y", 1.0)]),
        # a wrong one is caught and revised: all three turns share the end
        (
            {SOLVE: BAD, judged(BAD): "#n", refined(BAD): GOOD},
            [("solver", BAD, 1.0), ("critic", "#n", 1.0), ("reviser", GOOD, 1.0)],
        ),
        # a right one is talked out of it
        (
            {SOLVE: GOOD, judged(GOOD): "#n", refined(GOOD): BAD},
            [("solver", GOOD, 0.0), ("critic", "#n", 0.0), ("reviser", BAD, 0.0)],
        ),
        # a wrong one is let through
        ({SOLVE: BAD, judged(BAD): "#y"}, [("solver", BAD, 0.0), ("critic", "#y", 0.0)]),
        # a critic that says nothing readable has not called it right
        (
            {SOLVE: BAD, judged(BAD): "hm", refined(BAD): GOOD},
            [("solver", BAD, 1.0), ("critic", "hm", 1.0), ("reviser", GOOD, 1.0)],
        ),
    ],
)
def test_the_turns_by_hand(play: Callable, table: dict, turns: list) -> None:
    assert play(table, repair=False)[0] == turns


def test_what_nobody_solved_is_mended_with_the_answer_in_view_and_kept_without_it(play: Callable) -> None:
    table = {SOLVE: BAD, judged(BAD): "#y", HINT: GOOD}
    turns, context = play(table)
    assert turns[-1] == ("solver", GOOD, 1.0) and len(turns) == 3
    assert context.log.metrics["role_pipeline/mended"] == 1.0
    assert play({**table, HINT: BAD})[0] == turns[:-1]  # a mended solution has to arrive at the answer
    assert play({**table, SOLVE: GOOD, judged(GOOD): "#y"})[0][-1][0] == "critic"  # solved: nothing to mend


def test_each_turn_has_the_prompt_that_its_role_was_given(
    make_context: Callable, make_engine: Callable, make_prompt: Callable
) -> None:
    table = {SOLVE: BAD, judged(BAD): "#n", refined(BAD): BAD, HINT: GOOD}
    context = make_context(make_engine({name: {text: 1.0} for name, text in table.items()}))
    made: Sequence[Any] = RolePipeline(samples=1).acquire([make_prompt()], context)
    assert [r.prompt.prompt[-1]["content"] for r in made] == [SOLVE, judged(BAD), refined(BAD), SOLVE]
    assert all(r.prompt.key == "3+5+8" for r in made) and made[1].prompt.answer is None
    assert [r.prompt.info.get("role") for r in made] == [None, "judge", "refine", None]
    assert made[3].logprobs is None and made[0].logprobs is not None  # drawn under another prompt


def test_the_roles_that_are_trained(play: Callable) -> None:
    table = {SOLVE: BAD, judged(BAD): "#n", refined(BAD): GOOD}
    assert [role for role, _, _ in play(table, train=["reviser"])[0]] == ["reviser"]
    with pytest.raises(RecipeError, match="solver, critic, reviser"):
        RolePipeline(train=["boss"])
