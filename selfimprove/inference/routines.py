"""Routines: the requests that they may await, the accounts that these are charged to, and the scheduler.

A routine is an `async def` with one item and a session, which awaits only its session. All routines run until each
waits; their requests are answered together as a wave; then all continue. asyncio is not used.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Coroutine, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from selfimprove.costs import NOTHING, Cost
from selfimprove.episodes import Tool
from selfimprove.errors import Refused, UserError
from selfimprove.interfaces import Budget, Policy, Sampling, Spent
from selfimprove.records import Checkpoint, Prompt, Rollout


@dataclass
class Account:
    """The budget of one item, and what was spent."""

    budget: Budget = Budget()
    spent: Cost = NOTHING
    cut: int = 0
    """How often the budget ended something: truncated completions, and requests not answered in full."""
    drawn: list[tuple[tuple[Any, ...], Rollout]] = field(default_factory=list)
    """Every completion drawn for it, with the place of its request."""

    @property
    def left(self) -> Budget:
        """The remaining budget."""
        return Budget(
            tokens=self.budget.tokens - self.spent.tokens,
            completions=self.budget.completions - self.spent.completions,
            calls=self.budget.calls - self.spent.calls,
        )


# ---- requests: all that may be awaited ----------------------------------------------------------------------------
class Request:
    """Something that a routine waits for."""

    def __await__(self) -> Generator[Request, Any, Any]:
        return (yield self)


@dataclass(eq=False)
class Draw(Request):
    """Completions of a prompt; `got` has those that the budget has paid for so far."""

    prompt: Prompt
    n: int
    sampling: Sampling
    role: str
    policy: Policy
    account: Account
    beside: Mapping[str, Checkpoint] = field(default_factory=dict)
    """Weights that run in step, by their names in the sampling's shape."""
    stream: bool = False
    """Whether they continue the prompt's stream of samples; otherwise they belong to this place only."""
    got: list[Rollout] = field(default_factory=list)


@dataclass(eq=False)
class Logprobs(Request):
    """A number for each token of given rollouts."""

    rollouts: Sequence[Rollout]
    statistic: str
    policy: Policy


@dataclass(eq=False)
class Embed(Request):
    """Texts as vectors."""

    texts: Sequence[str]
    policy: Policy


@dataclass(eq=False)
class Rate(Request):
    """One of the recipe's rewards for rollouts, with what it took; "" is the whole reward, which returns rollouts."""

    rollouts: Sequence[Rollout]
    by: str
    policy: Policy


@dataclass(eq=False)
class Step(Request):
    """The turn of a slow environment after the last message, see `outside.Told`."""

    told: Any


@dataclass(eq=False)
class Call(Request):
    """A tool's reply to a text."""

    name: str
    tool: Tool
    text: str


@dataclass(eq=False)
class Adapt(Request):
    """A copy of a policy, trained on rows, with the function that releases it."""

    rows: Sequence[Rollout]
    schedule: Any
    policy: Policy


@dataclass(eq=False)
class All(Request):
    """Several routines for the same item at once."""

    routines: Sequence[Coroutine[Any, Any, Any]]


# ---- driving ------------------------------------------------------------------------------------------------------
@dataclass(eq=False)
class Strand:
    """A routine as it runs."""

    work: Coroutine[Any, Any, Any]
    account: Account
    root: int
    """Number of its item."""
    item: tuple[Any, ...]
    """The identity of its item: its content and its number among equal items, never its place in a list."""
    path: tuple[int, ...] = ()
    """Its place within the item: the parent's request that started it, its number there, and so on."""
    above: Strand | None = None
    number: int = 0
    value: Any = None
    """The answer to continue with; at the end its result."""
    error: BaseException | None = None
    count: int = 0
    """Requests so far."""
    waits: Any = None
    open: int = 0
    """Unfinished routines that it started."""
    results: list[Any] = field(default_factory=list)
    streams: dict[str, int] = field(default_factory=dict)
    """The number of samples that it has drawn from each prompt's stream."""
    _numbers: random.Random | None = None

    def numbers(self, seed: int) -> random.Random:
        """Its own random numbers."""
        self._numbers = self._numbers or random.Random(f"{seed} {self.item} {self.path}")
        return self._numbers

    @property
    def order(self) -> tuple[int, tuple[int, ...]]:
        """Its order among all waiting strands."""
        return self.root, self.path


_running: list[Strand] = []
"""The strand whose code runs, whoever drives it."""
Serve = Callable[[list[Strand]], tuple[list[Strand], list[Strand]]]
"""Answers what strands wait for: (those that were answered, those that have to wait on)."""


class Drive:
    """Runs strands to their ends; it knows no method and no model.

    Args:
        serve: what answers their requests, a wave at a time.
    """

    def __init__(self, serve: Serve) -> None:
        self.serve = serve
        self.waves = 0
        self.now: Strand | None = None
        """The strand whose code runs."""

    def run(self, strands: Sequence[Strand]) -> list[Any]:
        """The results of all strands, in order.

        Raises:
            Refused: one of them awaited something other than its session.
        """
        ready, waiting = list(strands), list[Strand]()
        try:
            if _running:
                raise Refused("a routine cannot start a run of its own: await session.all instead")
            while ready or waiting:
                while ready:
                    now, ready = ready, []
                    for strand in now:
                        ready += self._go(strand, waiting)
                if waiting:
                    self.waves += 1
                    ready, waiting = self.serve(sorted(waiting, key=lambda strand: strand.order))
                    if not ready and all(isinstance(strand.waits, Adapt) for strand in waiting):
                        raise Refused(
                            "a routine that holds an adapted copy of the weights asks for another one, and no more may "
                            "exist: leave one before the next is made"
                        )
                    for strand in ready:
                        strand.waits = None
            return [strand.value for strand in strands]
        finally:
            for strand in [*strands, *ready, *waiting]:
                strand.work.close()

    def _go(self, strand: Strand, waiting: list[Strand]) -> list[Strand]:
        """Run a strand up to its next request; returns the strands that can continue because of it."""
        value, error, strand.value, strand.error, self.now = strand.value, strand.error, None, None, strand
        _running.append(strand)
        try:
            request = strand.work.throw(error) if error else strand.work.send(value)
        except StopIteration as end:
            return self._end(strand, end.value, None)
        except Exception as problem:
            if not isinstance(problem, Spent | UserError):
                problem.add_note(f"in a routine of the item {strand.item}, after {strand.count} requests")
            return self._end(strand, None, problem)
        finally:
            self.now = None
            _running.pop()
        strand.count += 1
        if isinstance(request, All):
            return self._spread(strand, list(request.routines))
        if not isinstance(request, Request):
            kind = type(request).__name__
            strand.error = Refused(f"a routine can await its session only, not {kind}: there is no asyncio here")
            return [strand]
        strand.waits = request
        waiting.append(strand)
        return []

    def _spread(self, strand: Strand, routines: list[Coroutine[Any, Any, Any]]) -> list[Strand]:
        strand.open, strand.results = len(routines), [None] * len(routines)
        if not routines:
            strand.value = []
            return [strand]
        return [
            Strand(work, strand.account, strand.root, strand.item, (*strand.path, strand.count, i), strand, i)
            for i, work in enumerate(routines)
        ]

    def _end(self, strand: Strand, value: Any, error: BaseException | None) -> list[Strand]:
        above = strand.above
        if above is None:
            if error is not None:
                raise error
            strand.value = value
            return []
        above.results[strand.number] = (value, error)
        above.open -= 1
        if above.open:
            return []
        above.error = next((error for _, error in above.results if error is not None), None)
        above.value, above.results = [value for value, _ in above.results], []
        return [above]
