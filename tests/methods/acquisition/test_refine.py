"""Two turns: a second attempt is kept for being better than its own first one, and stored where the recipe says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from selfimprove.errors import RecipeError
from selfimprove.interfaces import Sampling
from selfimprove.methods.acquisition.refine import Refine
from selfimprove.records import dumps

RIGHT, WRONG, OTHER = "3+5=8;8+8=6#6", "3+5=9;9+8=7#7", "3+5=8;8+8=5#5"


@pytest.fixture
def turn(make_context: Callable, make_rollout: Callable, make_engine: Callable) -> Callable[..., Any]:
    """`turn(options)`: a wrong attempt that gets corrected, a right one left as it is, a right one that is spoilt."""

    def run(**options: Any) -> tuple[list, list, Any, Any]:
        given = [make_rollout(WRONG), make_rollout(RIGHT), make_rollout("1+2=3#3", "1+2")]
        table = {
            f"R:3+5+8={WRONG}|": {RIGHT: 0.6, OTHER: 0.4},
            f"R:3+5+8={RIGHT}|": {RIGHT: 1.0},
            "R:1+2=1+2=3#3|": {"1+2=4#4": 1.0},
        }
        engine = make_engine(table)
        context = make_context(engine, round=2)
        return given, list(Refine(**options).acquire(given, context)), engine, context

    return run


def test_each_attempt_is_shown_to_the_model_once(turn: Callable) -> None:
    given, _, engine, _ = turn(temperature=0.0)
    assert [p.prompt[-1]["content"] for p in engine.seen] == [f"R:{r.prompt.key}={r.text}|" for r in given]
    assert [(n, sampling) for n, sampling, _ in engine.calls] == [(1, Sampling(temperature=0.0))]
    assert {p.answer for p in engine.seen} == {None}


def test_only_a_second_attempt_that_beats_its_own_first_one_is_kept(turn: Callable) -> None:
    given, made, _, context = turn(temperature=0.0)
    assert [r.text for r in made[:3]] == [r.text for r in given] and [r.reward for r in made[:3]] == [0.0, 1.0, 1.0]
    [second] = made[3:]
    assert (second.text, second.reward, second.info["first_score"]) == (RIGHT, 1.0, 0.0)
    assert second.parents == (given[0].prompt.id, made[0].id)
    assert context.log.metrics == {"refine/kept": 1, "refine/improved": pytest.approx(1 / 3)}


def test_a_good_answer_left_alone_is_kept_on_request_and_a_spoilt_one_never(turn: Callable) -> None:
    _, made, _, _ = turn(temperature=0.0, keep="not_worse", first=False)
    assert [r.text for r in made] == [RIGHT, RIGHT]
    assert [r.info["first_score"] for r in made] == [0.0, 1.0]


def test_what_stays_wrong_is_not_good_enough(turn: Callable) -> None:
    _, made, _, _ = turn(samples=40, keep="not_worse", first=False)
    corrected = [r for r in made if r.info["first_score"] == 0.0]
    assert {r.text for r in corrected} == {RIGHT} and 14 <= len(corrected) <= 34  # about 24 of 40
    _, made, _, _ = turn(samples=40, keep="not_worse", enough=0.0, first=False)
    assert {r.text for r in made} == {RIGHT, OTHER}


def test_the_second_turn_hangs_on_the_attempt_it_corrects(turn: Callable) -> None:
    given, made, _, context = turn(temperature=0.0)
    prompt = made[3].prompt
    assert prompt.prompt[-1]["content"] == f"R:3+5+8={WRONG}|"
    assert (prompt.key, prompt.answer, prompt.parents) == ("3+5+8", "6", (given[0].prompt.id,))
    assert made[3].logprobs and context.verify(prompt, made[3].text) == 1.0


def test_attached_to_the_problem_nobody_sees_that_there_was_a_first_attempt(turn: Callable) -> None:
    given, made, _, _ = turn(temperature=0.0, attach="problem")
    assert made[3].prompt == given[0].prompt and WRONG not in dumps(made[3])
    assert made[3].logprobs is None  # drawn under another prompt


def test_what_cannot_be_scored_teaches_nothing(
    make_context: Callable, make_rollout: Callable, make_engine: Callable
) -> None:
    blind = replace(make_rollout().prompt, answer=None)
    context = make_context(make_engine(default=RIGHT))
    assert len(list(Refine().acquire([make_rollout(WRONG, blind)], context))) == 1


@pytest.mark.parametrize("options", [{"keep": "all"}, {"attach": "nowhere"}])
def test_options_that_make_no_sense(options: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match="takes keep"):
        Refine(**options)
