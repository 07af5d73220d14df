"""Completions with their drawn tokens, and the order of training items."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from selfimprove.errors import DataError
from selfimprove.records import Rollout

Item = TypeVar("Item")


@dataclass(frozen=True, kw_only=True)
class Turn:
    """A completion with its drawn tokens. Each reply of a conversation is a turn with its own prompt."""

    rollout: Rollout
    prompt_ids: list[int]
    ids: list[int]
    """The completion's tokens, including the end token if it has one."""
    reward: float | None = None
    """The turn's total reward; None if unknown, then the turn is not learned."""
    bucket: str = ""
    """Its kind; rewards are reported per kind, and advantages may be normalized per kind."""
    anchor: float = 1.0
    """Factor on the weight of its KL divergence from the reference."""
    old: tuple[float, ...] = ()
    """Log-probabilities of its tokens when drawn; empty if the current weights drew it."""
    said: tuple[int, ...] = ()
    """For each token 1 if the assistant drew it, 0 if a tool or another player said it; empty means all 1."""

    @property
    def learned(self) -> Sequence[int]:
        """`said` with one entry per token."""
        return self.said or [1] * len(self.ids)


def batches(items: Sequence[Item], size: int) -> list[list[Item]]:
    """Items in lists of `size`; the last one may be shorter."""
    return [list(items[start : start + size]) for start in range(0, len(items), size)]


def passes(items: Sequence[Item], size: int, seed: int) -> Iterator[list[Item]]:
    """Lists of `size` items without end, in a new order for each pass.

    Raises:
        DataError: there are no items.
    """
    if not items:
        raise DataError("there is nothing to train on")
    source = random.Random(seed)
    stream = itertools.chain.from_iterable(source.sample(items, len(items)) for _ in itertools.repeat(None))
    while True:
        yield list(itertools.islice(stream, size))
