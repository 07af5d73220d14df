"""The queue before the engine: what waits goes together, what is at fault fails alone, what is gone is dropped."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from selfimprove.serving.answering import Wanted
from selfimprove.serving.batches import Batches, Full, Joins
from selfimprove.serving.requests import read


def wanted(text: str, n: int = 1) -> Wanted:
    body = {"messages": [{"role": "user", "content": text}], "n": n}
    return Wanted(read(json.dumps(body).encode(), True, "m", 8, True))


def text_of(one: Wanted) -> str:
    return one.asked.talks[0][0]["content"]


def queued(
    work: Callable[[Batches], Awaitable[Any]], answer: Any, waiting: int = 100, rows: int = 10, joins: Any = None
) -> Any:
    """What `work` gives, beside a running queue."""

    async def both() -> Any:
        batches = Batches(answer, waiting, rows, joins)
        task = asyncio.create_task(batches.run())
        try:
            return await asyncio.wait_for(work(batches), 20)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    return asyncio.run(both())


def test_requests_that_wait_go_to_the_engine_together_up_to_its_rows() -> None:
    seen: list[list[str]] = []

    def answer(batch: Sequence[Wanted]) -> Any:
        seen.append([text_of(one) for one in batch])
        return [[text_of(one)] for one in batch]

    async def work(batches: Batches) -> Any:
        some = [batches.add(wanted(str(i), n=4)) for i in range(5)]
        large = batches.add(wanted("large", n=50))
        return await asyncio.gather(*(one.answers for one in (*some, large))), batches.batches, batches.answered

    found = queued(work, answer)
    assert found == ([["0"], ["1"], ["2"], ["3"], ["4"], ["large"]], 4, 6)
    assert seen == [["0", "1"], ["2", "3"], ["4"], ["large"]]


def test_a_request_at_fault_fails_alone() -> None:
    def answer(batch: Sequence[Wanted]) -> Any:
        if any(text_of(one) == "bad" for one in batch):
            raise ValueError("bad")
        return [[text_of(one)] for one in batch]

    async def work(batches: Batches) -> Any:
        some = [batches.add(wanted(text)) for text in ("a", "bad", "b")]
        return await asyncio.gather(*(one.answers for one in some), return_exceptions=True)

    first, error, last = queued(work, answer)
    assert (first, last) == (["a"], ["b"]) and isinstance(error, ValueError)


def test_a_request_whose_client_has_gone_is_dropped_and_a_full_queue_refuses() -> None:
    seen: list[str] = []

    def answer(batch: Sequence[Wanted]) -> Any:
        seen.extend(text_of(one) for one in batch)
        return [[text_of(one)] for one in batch]

    async def work(batches: Batches) -> Any:
        gone, stays = batches.add(wanted("gone")), batches.add(wanted("stays"))
        with pytest.raises(Full):
            batches.add(wanted("too many"))
        gone.answers.cancel()
        return await stays.answers

    assert queued(work, answer, waiting=2) == ["stays"] and seen == ["stays"]


def test_what_waits_when_the_server_stops_is_told() -> None:
    async def stop() -> bool:
        batches = Batches(lambda batch: [[] for _ in batch], 10, 10)
        waiting = batches.add(wanted("a"))
        task = asyncio.create_task(batches.run())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return waiting.answers.cancelled()

    assert asyncio.run(stop())


class Tokens:
    """An engine that takes what comes between two tokens; a text of k letters has k tokens."""

    def __init__(self) -> None:
        self.seen, self.left = list[tuple[str, ...]](), dict[int, str]()
        self.may_go, self.waits = threading.Event(), threading.Event()

    def draw(self, coming: Any, ended: Any) -> None:
        count = 0
        while True:
            for text in [text_of(one) for one in coming()]:
                self.left[count], count = text, count + 1
            if not self.left:
                return
            self.waits.set()
            assert self.may_go.wait(20)
            self.seen.append(tuple(self.left.values()))
            if any(text.startswith("bad") for text in self.left.values()):
                raise ValueError("bad")
            for number, text in list(self.left.items()):
                if not text[1:]:
                    ended(number, [f"{number}"])
                    del self.left[number]
                else:
                    self.left[number] = text[1:]


def test_a_request_joins_those_that_are_drawn_unless_one_waits_that_cannot() -> None:
    engine, refined = Tokens(), list[str]()

    def answer(batch: Sequence[Wanted]) -> Any:
        refined.extend(text_of(one) for one in batch)
        return [[text_of(one)] for one in batch]

    async def work(batches: Batches) -> Any:
        first = batches.add(wanted("abc"))
        await asyncio.to_thread(engine.waits.wait, 20)
        late, gone = batches.add(wanted("xy")), batches.add(wanted("gone"))
        gone.answers.cancel()
        engine.may_go.set()
        before = await asyncio.gather(first.answers, late.answers)
        while batches.batches < 1:  # the engine still looks for requests that join; the next one is to begin anew
            await asyncio.sleep(0)
        engine.may_go.clear()
        engine.waits.clear()
        last = batches.add(wanted("ab"))
        await asyncio.to_thread(engine.waits.wait, 20)
        other, after = batches.add(wanted("!")), batches.add(wanted("z"))
        engine.may_go.set()
        return [*before, *await asyncio.gather(last.answers, other.answers, after.answers)], batches.answered

    found = queued(work, answer, joins=Joins(lambda one: text_of(one) != "!", engine.draw))
    assert found == ([["0"], ["1"], ["0"], ["!"], ["0"]], 5) and refined == ["!"]
    assert engine.seen == [("abc",), ("bc", "xy"), ("c", "y"), ("ab",), ("b",), ("z",)]


def test_what_was_drawn_together_with_a_request_at_fault_is_answered_alone() -> None:
    engine, alone = Tokens(), list[str]()
    engine.may_go.set()

    def answer(batch: Sequence[Wanted]) -> Any:
        alone.extend(text_of(one) for one in batch)
        if any(text_of(one) == "bad" for one in batch):
            raise ValueError("bad")
        return [[text_of(one)] for one in batch]

    async def work(batches: Batches) -> Any:
        some = [batches.add(wanted(text)) for text in ("abc", "bad", "xyz")]
        return await asyncio.gather(*(one.answers for one in some), return_exceptions=True)

    first, error, last = queued(work, answer, joins=Joins(lambda one: True, engine.draw))
    assert (first, last) == (["abc"], ["xyz"]) and isinstance(error, ValueError) and alone == ["abc", "bad", "xyz"]
