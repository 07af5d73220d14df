"""Routines await their session and nothing else; equal items draw anew; errors go to who waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from selfimprove.errors import Refused
from selfimprove.interfaces import Context, Refinement, Session
from selfimprove.records import Prompt, Rollout


def test_a_foreign_await_is_refused(words: Any, chained: Callable, problems: Callable) -> None:
    @dataclass
    class Sleeper(Refinement):
        async def answer(self, prompt: Prompt, session: Session) -> Rollout:
            await asyncio.sleep(0.1)
            return (await session.attempts(prompt))[0]

    with pytest.raises((Refused, RuntimeError), match="no asyncio here|no running event loop"):
        chained(words(), Sleeper()).answer(problems(1))

    class Foreign:
        def __await__(self):
            yield "something"

    @dataclass
    class Stranger(Refinement):
        async def answer(self, prompt: Prompt, session: Session) -> Rollout:
            await Foreign()
            return (await session.attempts(prompt))[0]

    with pytest.raises(Refused, match="a routine can await its session only, not str: there is no asyncio here"):
        chained(words(), Stranger()).answer(problems(1))


def test_equal_items_draw_anew_and_alike_ones_as_one_call_of_sample(
    words: Any, chained: Callable, make_context: Callable
) -> None:
    async def text(item: Any, session: Session) -> str:
        return (await session.draw(Prompt(prompt=[{"role": "user", "content": "q"}])))[0].text

    many = {f"w{i}": 1 / 50 for i in range(50)}
    context: Context = make_context(policy=chained(words(rule=lambda messages: many)))
    made = context.run(text, [0] * 30)
    assert len(set(made)) > 10 and context.run(text, [0] * 30) != made
    engine = words(rule=lambda messages: many)
    policy = chained(engine)
    assert len(set(make_context(policy=policy).run(text, [1, 2, 3], alike=True))) == 1
    sampled = chained(words(rule=lambda messages: many)).sample([Prompt(prompt=[{"role": "user", "content": "q"}])])
    assert engine.asked[0].seed == policy.seed_at(0) and sampled[0][0].text in many


def test_a_routine_cannot_start_a_run(words: Any, chained: Callable, make_context: Callable) -> None:
    async def inner(item: Any, session: Session) -> int:
        return item

    async def outer(item: Any, session: Session) -> list[int]:
        return context.run(inner, [1, 2])

    context: Context = make_context(policy=chained(words()))
    assert context.run(inner, [1, 2]) == [1, 2]
    with pytest.raises(Refused, match=r"await session\.all instead"):
        context.run(outer, [0])
    assert context.run(inner, [3]) == [3]


def test_an_error_of_a_child_reaches_its_parent(
    words: Any, chained: Callable, make_context: Callable, problems: Callable
) -> None:
    async def child(session: Session) -> None:
        await session.draw(problems(1)[0])
        raise ValueError("broken")

    async def parent(item: int, session: Session) -> str:
        try:
            await session.all([child(session), child(session)])
        except ValueError as error:
            return f"caught {error}"
        return ""

    async def lost(item: int, session: Session) -> None:
        await child(session)

    context: Context = make_context(policy=chained(words()))
    assert context.run(parent, [0, 1]) == ["caught broken"] * 2
    with pytest.raises(ValueError, match="broken") as caught:
        context.run(lost, [0])
    assert "after 1 requests" in str(caught.value.__notes__)
