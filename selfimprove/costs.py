"""The cost of work in whole numbers: declared by methods before it is done, and counted while it is done."""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple


class Cost(NamedTuple):
    """The cost of some work. Costs add up; n times a cost is the cost of doing it n times."""

    completions: int = 0
    """Completions drawn from a model."""
    tokens: int = 0
    """Tokens of these completions."""
    scored: int = 0
    """Completions for whose tokens a model computes log-probabilities."""
    calls: int = 0
    """Calls of tools and environments."""
    copies: int = 0
    """Temporary trained copies of the weights."""
    steps: int = 0
    """Optimizer steps."""

    def __add__(self, other: Cost) -> Cost:  # pyright: ignore[reportIncompatibleMethodOverride]  # not of a tuple
        return Cost._make(map(operator.add, self, other))

    def __mul__(self, n: int) -> Cost:  # pyright: ignore[reportIncompatibleMethodOverride]
        return Cost._make(n * one for one in self)

    def __rmul__(self, n: int) -> Cost:  # pyright: ignore[reportIncompatibleMethodOverride]
        return self * n

    def within(self, bound: Cost) -> bool:
        """Whether each number is at most that of the bound."""
        return all(map(operator.le, self, bound))


NOTHING = Cost()


@dataclass(frozen=True)
class Flow:
    """Upper bounds of the records that pass from one method to the next."""

    records: int = 0
    prompts: int = 0
    """Different prompts among them."""
    group: int = 1
    """Records of one prompt."""


@dataclass(frozen=True, kw_only=True)
class Given:
    """The values that a method's declaration may depend on; the rest of the recipe sets them."""

    flow: Flow = Flow()
    """The incoming records: problems of an exam, completions to rate, rows to train on."""
    length: int = 512
    """Tokens of a completion, unless the method sets its own limit."""
    context: int = sys.maxsize
    """Context length: most tokens of a prompt with its completion."""
    problems: Callable[[int | None], int] = lambda n: n or 0
    """`problems(n)`: how many training problems `Context.problems(n, ...)` gives."""
    selection: int = 0
    """Most selection problems of the task."""
    probes: int = 0
    """Problems of all probes of an exam together."""
    attempt: Cost = NOTHING
    """One answer by the recipe's refinement."""
    joint: Callable[[Flow], Cost] = lambda flow: NOTHING
    """What the recipe's refinements take around all answers to a set of so many problems, see `together_cost`."""
    replies: int = 1
    """The most times that the model speaks in the world of a problem."""
    rate: Callable[[Flow], Cost] = lambda flow: NOTHING
    """The cost of the recipe's rewards for a number of completions."""
    redraws: int = 0
    """In an optimization: how many times the recipe's sampler may draw a step's completions again."""
    steps: int = 0
    """In a sampler: the most steps of the training."""
    step_rows: int = 0
    """In a sampler of rows: the rows of a step."""
    again: Cost = NOTHING
    """In an optimization: the round's acquisition once more, with its rewards."""
    round: int = 1
    rounds: int = 1
    """Rounds that the recipe plans."""
    processes: int = 1
    """Processes that run a training step together, each with its own batch."""

    def draw(self, n: int = 1, length: int | None = None) -> Cost:
        """The cost of n completions of the maximal length."""
        return Cost(completions=n, tokens=n * min(self.context, length or self.length))


# ---- counted -----------------------------------------------------------------------------------------------------
class Meter:
    """Counts the cost of the work done inside `counted`."""

    def __init__(self) -> None:
        self.cost = NOTHING


_meters: list[Meter] = []
"""The meters of the work in progress, the innermost last."""


@contextmanager
def counted() -> Iterator[Meter]:
    """Count the cost of what engines draw and of training inside this context, in this meter only."""
    meter = Meter()
    _meters.append(meter)
    try:
        yield meter
    finally:
        _meters.remove(meter)


def count(cost: Cost) -> None:
    """Add to the meter of the work in progress, if there is one."""
    if _meters:
        _meters[-1].cost += cost
