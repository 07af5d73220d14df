"""What methods that write problems are tested with: school problems, and an engine that a test speaks for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from selfimprove.inference.desk import Sessions
from selfimprove.interfaces import Context
from selfimprove.methods.task.word_problems import WordProblems


@pytest.fixture
def make_story_context(make_context: Callable, make_policy: Callable, given_engine: Callable) -> Callable[..., Context]:
    """`make_story_context(says)`: a context of school problems in which each request gets `says(text, ask)`."""

    def make(says: Callable[[str, Any], str], task: WordProblems | None = None, **changes: Any) -> Context:
        task = task or WordProblems(min_length=1, max_length=5, asides=0)
        context = make_context()
        engine = given_engine(says=lambda ask: says(ask.prompt.prompt[-1]["content"], ask))

        def reward(rollouts: Any) -> Any:
            return [replace(one, reward=task.verify(one.prompt, one.text), rated=True) for one in rollouts]

        values: dict[str, Any] = {
            "policy": make_policy(engine, log=context.log, desk=Sessions(task), answer_of=task.answer_of),
            "problems": lambda n, number: task.problems("train", n, number),
            "verify": task.verify,
            "answer_of": task.answer_of,
            "roles": task.roles(),
            "reward": reward,
        }
        return make_context(engine, **{**values, **changes})

    return make
