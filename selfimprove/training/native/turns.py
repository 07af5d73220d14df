"""Completions with the tokens that were drawn, and the order in which items are trained on."""

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
    """A completion with the tokens that were drawn. Each reply of a conversation is a turn with a prompt of its own."""

    rollout: Rollout
    prompt_ids: list[int]
    ids: list[int]
    """The completion's tokens, with the end token where it came to its end."""
    reward: float | None = None
    """What the turn earned in all; None: that is not known, and nothing is learned from it."""
    bucket: str = ""
    """Its kind: advantages can be normalized, and rewards are reported, for each kind."""
    anchor: float = 1.0
    """Factor on the weight of its divergence from the reference."""
    old: tuple[float, ...] = ()
    """Log-probabilities of its tokens when it was drawn; none: it was drawn with the weights as they are."""
    said: tuple[int, ...] = ()
    """For each token 1 where the assistant drew it, 0 where a tool or another player said it; none: it drew all."""

    @property
    def learned(self) -> Sequence[int]:
        """`said`, written out."""
        return self.said or [1] * len(self.ids)


def batches(items: Sequence[Item], size: int) -> list[list[Item]]:
    """Items in lists of `size`, the last one perhaps shorter."""
    return [list(items[start : start + size]) for start in range(0, len(items), size)]


def passes(items: Sequence[Item], size: int, seed: int) -> Iterator[list[Item]]:
    """Lists of `size` items without end; each pass over the items is in another order.

    Raises:
        DataError: there are no items.
    """
    if not items:
        raise DataError("there is nothing to train on")
    source = random.Random(seed)
    stream = itertools.chain.from_iterable(source.sample(items, len(items)) for _ in itertools.repeat(None))
    while True:
        yield list(itertools.islice(stream, size))
