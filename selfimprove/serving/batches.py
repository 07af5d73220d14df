"""Requests that arrive while the engine works wait and go to it together, as one batch."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from selfimprove.records import Rollout
from selfimprove.serving.answering import Wanted

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
    answers: asyncio.Future[list[Rollout]] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Batches:
    """A queue before an engine that runs in one thread."""

    def __init__(self, answer: Answer, most_waiting: int, most_rows: int) -> None:
        """Args:
        most_waiting: requests that are taken and not yet answered, at most.
        most_rows: answers in a batch at most; a request with more is a batch of its own.
        """
        self._answer, self._most_waiting, self._most_rows = answer, most_waiting, most_rows
        self._queue, self._some = deque[Waiting](), asyncio.Event()
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
        one = Waiting(wanted)
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
                    await self._work(batch)
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
        """The next batch; requests whose clients have gone are dropped."""
        batch, rows = list[Waiting](), 0
        while self._queue:
            first = self._queue[0]
            if first.answers.done():
                self._queue.popleft()
                continue
            if batch and rows + first.wanted.asked.rows > self._most_rows:
                return batch
            batch.append(self._queue.popleft())
            rows += first.wanted.asked.rows
        self._some.clear()
        return batch

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
            if not one.answers.done():
                one.answers.set_result(answers)

    async def _drawn(self, wanted: Sequence[Wanted]) -> list[list[Rollout]]:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._answer, wanted)


def _fail(one: Waiting, error: Exception) -> None:
    if not one.answers.done():
        one.answers.set_exception(error)
