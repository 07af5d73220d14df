"""Rationalization: only hopeless problems get a hint, and nobody can tell afterwards that there was one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from selfimprove.interfaces import Sampling
from selfimprove.methods.acquisition.rationalize import Rationalize
from selfimprove.records import dumps

RIGHT, WRONG, LOST = "3+5=8;8+8=6#6", "3+5=9;9+8=7#7", "no idea"


@pytest.fixture
def chain(make_context: Callable, make_rollout: Callable, make_engine: Callable, make_prompt: Callable) -> Callable:
    """Run the method on three problems: one solved once, one failed, one whose hint does not help."""

    def run(**options: Any) -> tuple[list, list, Any, Any]:
        given = [
            make_rollout("1+2=3#3", "1+2"),
            make_rollout("1+2=4#4", "1+2"),
            make_rollout(WRONG, "3+5+8"),
            make_rollout(LOST, "3+5+8"),
            make_rollout("9+9=9#9", "9+9"),
        ]
        engine = make_engine({"H:6|3+5+8=": {RIGHT: 0.7, WRONG: 0.3}, "H:8|9+9=": {"9+9=7#7": 1.0}})
        context = make_context(engine, round=4)
        return given, list(Rationalize(**options).acquire(given, context)), engine, context

    return run


def test_the_hint_is_shown_only_where_every_try_failed(chain: Callable) -> None:
    _, _, engine, context = chain()
    assert [prompt.prompt[-1]["content"] for prompt in engine.seen] == ["H:6|3+5+8=", "H:8|9+9="]
    assert context.log.metrics == {"rationalize/failed_prompts": 2, "rationalize/rationales": 1}


def test_one_greedy_rationale_is_the_default(chain: Callable) -> None:
    _, _, engine, _ = chain()
    assert [(n, sampling) for n, sampling, _ in engine.calls] == [(1, Sampling(temperature=0.0))]


def test_all_first_tries_are_given_on_unchanged(chain: Callable) -> None:
    given, made, _, _ = chain()
    assert made[:5] == given and len(made) == 6


def test_the_stored_rationale_hangs_on_the_prompt_without_the_hint(chain: Callable) -> None:
    given, made, _, context = chain()
    rationale = made[5]
    assert rationale.prompt == given[2].prompt
    assert rationale.text == RIGHT and context.verify(rationale.prompt, rationale.text) == 1.0
    assert (rationale.reward, rationale.logprobs) == (None, None)  # drawn under the hint: not this prompt's probability
    assert "H:" not in dumps(rationale) and "6|" not in dumps(rationale)


def test_a_rationale_with_a_wrong_end_is_dropped(chain: Callable) -> None:
    _, made, _, context = chain(samples=40, temperature=1.0)
    rationales = made[5:]
    assert {rollout.text for rollout in rationales} == {RIGHT}
    assert {rollout.prompt.key for rollout in rationales} == {"3+5+8"}
    assert 15 <= len(rationales) <= 38  # about 28 of 40
    assert context.log.metrics["rationalize/rationales"] == len(rationales)


def test_a_problem_without_a_reference_gets_no_hint(
    make_context: Callable, make_rollout: Callable, make_engine: Callable, make_prompt: Callable
) -> None:
    engine = make_engine()
    blind = replace(make_prompt("3+5+8"), answer=None)
    given = [make_rollout(WRONG, blind)]
    assert list(Rationalize().acquire(given, make_context(engine))) == given and engine.seen == []
