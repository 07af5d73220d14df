"""Requests that arrive while the engine works join those that it draws, or wait and go to it together, as one batch."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from selfimprove.records import Rollout
from selfimprove.serving.answering import Coming, Ended, Wanted

Answer = Callable[[Sequence[Wanted]], list[list[Rollout]]]
GATHER = 0.002
"""Seconds without a new request after which an idle engine begins; else the first of many would be alone."""
LONGEST_GATHER = 0.02
"""Most seconds that it gathers."""


class Full(Exception):
    """So many requests wait that no further one is taken."""


@dataclass(eq=False)
class Waiting:
    """A request in the queue."""

    wanted: Wanted
    joins: bool = False
    """Whether it can join others that are being drawn."""
    answers: asyncio.Future[list[Rollout]] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


@dataclass(frozen=True)
class Joins:
    """How requests join others that are being drawn."""

    can: Callable[[Wanted], bool]
    """Whether a request can."""
    draw: Callable[[Coming, Ended], None]
    """Answers what comes, until nothing is left."""


class Batches:
    """A queue before an engine that runs in one thread.

    Requests of the two kinds, which join others or do not, take turns: while one of the other kind waits, none joins.
    """

    def __init__(self, answer: Answer, most_waiting: int, most_rows: int, joins: Joins | None = None) -> None:
        """Args:
        most_waiting: requests that are taken and not yet answered, at most.
        most_rows: answers in a batch at most; a request with more is a batch of its own.
        joins: None if every batch runs to its end before the next one begins.
        """
        self._answer, self._most_waiting, self._most_rows, self._joins = answer, most_waiting, most_rows, joins
        self._queue, self._some, self._lock = deque[Waiting](), asyncio.Event(), threading.Lock()
        self._thread = ThreadPoolExecutor(1, "engine")
        self.batches, self.answered, self.running = 0, 0, 0
        """Batches and requests that the engine has answered, and requests that it works on."""

    @property
    def waiting(self) -> int:
        """Requests that wait for the engine."""
        return len(self._queue)

    def add(self, wanted: Wanted) -> Waiting:
        """Take a request; cancel its `answers` if nobody waits for them any more.

        Raises:
            Full: too many wait.
        """
        if len(self._queue) + self.running >= self._most_waiting:
            raise Full
        one = Waiting(wanted, self._joins is not None and self._joins.can(wanted))
        with self._lock:
            self._queue.append(one)
        self._some.set()
        return one

    async def run(self) -> None:
        """Answer what waits, batch by batch, until it is cancelled."""
        try:
            while True:
                await self._some.wait()
                await self._gather()
                if batch := self._next():
                    await (self._flow(batch) if batch[0].joins else self._work(batch))
        finally:
            for one in self._queue:
                one.answers.cancel()
            self._thread.shutdown(wait=False, cancel_futures=True)

    async def _gather(self) -> None:
        """Wait while requests keep coming."""
        before, until = -1, asyncio.get_running_loop().time() + LONGEST_GATHER
        while before != len(self._queue) and asyncio.get_running_loop().time() < until:
            before = len(self._queue)
            await asyncio.sleep(GATHER)

    def _next(self) -> list[Waiting]:
        """The next batch, of requests like the first one; those whose clients have gone are dropped."""
        with self._lock:
            self._drop()
            batch = self._fitting(self._queue[0].joins, 0) if self._queue else []
            if not self._queue:
                self._some.clear()
            return batch

    def _drop(self) -> None:
        """Forget requests whose clients have gone."""
        self._queue = deque(one for one in self._queue if not one.answers.done())

    def _fitting(self, join: bool, rows: int) -> list[Waiting]:
        """Take the first requests of one kind out of the queue, as many as fit beside so many rows."""
        batch, rest = list[Waiting](), deque[Waiting]()
        full = False
        for one in self._queue:
            full = full or bool(rows and rows + one.wanted.asked.rows > self._most_rows)
            if full or one.joins is not join:
                rest.append(one)
            else:
                batch.append(one)
                rows += one.wanted.asked.rows
        self._queue = rest
        return batch

    async def _flow(self, batch: list[Waiting]) -> None:
        """Answer requests, and those that join them, each as soon as it is drawn."""
        loop, running = asyncio.get_running_loop(), dict[int, Waiting]()
        count, first = 0, batch

        def coming() -> list[Wanted]:  # in the thread of the engine, between two tokens
            nonlocal count, first
            new, first = first, []
            rows = sum(one.wanted.asked.rows for one in running.values())
            if not new and self._queue and rows < self._most_rows:
                with self._lock:
                    self._drop()
                    if all(one.joins for one in self._queue):
                        new = self._fitting(True, rows)
            running.update(enumerate(new, count))
            count, self.running = count + len(new), len(running)
            return [one.wanted for one in new]

        def ended(number: int, answers: list[Rollout]) -> None:
            one = running.pop(number)
            self.running, self.answered = len(running), self.answered + 1
            loop.call_soon_threadsafe(_give, one, answers)

        assert self._joins is not None
        try:
            await loop.run_in_executor(self._thread, self._joins.draw, coming, ended)
            self.batches += 1
        except Exception:  # one of them may be at fault, and the others must not suffer
            for one in list(running.values()):
                with contextlib.suppress(asyncio.InvalidStateError):
                    await self._work([one])
        finally:
            self.running = 0

    async def _work(self, batch: list[Waiting]) -> None:
        self.running = len(batch)
        try:
            made = await self._drawn([one.wanted for one in batch])
        except Exception as error:
            if len(batch) == 1:
                _fail(batch[0], error)
            else:  # one of them may be at fault, and the others must not suffer
                for one in batch:
                    with contextlib.suppress(asyncio.InvalidStateError):
                        await self._work([one])
            return
        finally:
            self.running = 0
        self.batches, self.answered = self.batches + 1, self.answered + len(batch)
        for one, answers in zip(batch, made, strict=True):
            _give(one, answers)

    async def _drawn(self, wanted: Sequence[Wanted]) -> list[list[Rollout]]:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._answer, wanted)


def _give(one: Waiting, answers: list[Rollout]) -> None:
    if not one.answers.done():
        one.answers.set_result(answers)


def _fail(one: Waiting, error: Exception) -> None:
    if not one.answers.done():
        one.answers.set_exception(error)
