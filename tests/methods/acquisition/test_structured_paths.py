"""Guideline, meaning, plan, path: who is shown what, and that nothing of it is left in what is trained on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from selfimprove.costs import Flow, Given
from selfimprove.errors import RecipeError
from selfimprove.interfaces import Ask
from selfimprove.methods.acquisition.structured_paths import StructuredPaths, _guidelines
from selfimprove.records import Rollout


@pytest.fixture
def echo(given_engine: Callable) -> tuple[Any, list[list[str]]]:
    """An engine that numbers its replies, and the texts of each call."""
    engine, calls = given_engine([]), list[list[str]]()

    def draw(asks: Sequence[Ask], log: Any) -> list[list[Rollout]]:
        calls.append([ask.prompt.prompt[-1]["content"] for ask in asks])
        for how in (ask.sampling for ask in asks):
            assert (how.temperature, how.top_p, how.max_completion_length) == (1.2, 0.9, 48)

        def reply(i: int, k: int) -> Rollout:
            said = [{"role": "assistant", "content": f"reply {len(calls)}.{i}.{k}"}]
            return Rollout(prompt=asks[i].prompt, completion=said, logprobs={"sum": -1.0, "count": 1})

        return [[reply(i, k) for k in range(ask.n)] for i, ask in enumerate(asks)]

    engine.draw = draw
    return engine, calls


def test_each_step_is_shown_what_the_one_before_said(make_context: Callable, make_prompt: Callable, echo: Any) -> None:
    engine, calls = echo
    problems = [make_prompt("3+5+8"), make_prompt("1+2")]
    method = StructuredPaths(single=1, picked=2, max_completion_length=48)
    made: list[Any] = list(method.acquire(problems, make_context(engine, round=2)))
    picking, adapting, planning, following = calls
    assert [len(call) for call in calls] == [2, 6, 6, 6]
    assert all(f"{number}. {line}" in picking[0] for number, line in enumerate(_guidelines(), 1))
    first = _guidelines()[0]
    shown = [first, "reply 1.0.0", "reply 1.0.1", first, "reply 1.1.0", "reply 1.1.1"]
    for place, guideline in enumerate(shown):
        asked = problems[place // 3].prompt[-1]["content"]
        assert guideline in adapting[place] and f"reply 2.{place}.0" in planning[place]
        assert following[place].startswith(asked) and following[place].endswith(f"reply 3.{place}.0")
        assert asked in adapting[place] and asked in planning[place]
        path = made[place]
        assert path.prompt == problems[place // 3] and path.text == f"reply 4.{place}.0"
        assert path.logprobs is None


def test_the_system_message_of_the_task_is_for_the_path_alone(
    make_context: Callable, make_prompt: Callable, echo: Any
) -> None:
    engine, calls = echo
    seen: list[list[str]] = []
    plain = engine.draw

    def draw(asks: Sequence[Ask], log: Any) -> Any:
        seen.append([message["role"] for message in asks[0].prompt.prompt])
        assert {ask.prompt.answer for ask in asks} == {None}
        return plain(asks, log)

    engine.draw = draw
    talk = [{"role": "system", "content": "Box it."}, {"role": "user", "content": "3+5+8?"}]
    method = StructuredPaths(single=2, picked=0, max_completion_length=48)
    method.acquire([make_prompt("3+5+8", prompt=talk)], make_context(engine))
    assert seen == [["user"], ["user"], ["system", "user"]]
    assert "Box it." not in "".join(calls[0] + calls[1])


def test_its_cost_counts_every_step() -> None:
    assert StructuredPaths().cost(Given(flow=Flow(10, 10))).completions == 10 * (25 * 3 + 20 * 4)
    assert len(_guidelines()) == 25 == len({*_guidelines()})


@pytest.mark.parametrize("options", [{"single": 0, "picked": 0}])
def test_options_that_make_no_sense(options: dict[str, int]) -> None:
    with pytest.raises(RecipeError, match="structured_paths takes"):
        StructuredPaths(**options)
