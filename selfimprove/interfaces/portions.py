"""Selections that read each record on its own and then choose among all by what they read.

Such a selection works on a pool that is larger than memory: `selfimprove select` lets several processes read portions
of it, keeps what they read on disk, and lets the method choose when all is read.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from selfimprove.interfaces.policy import Context
from selfimprove.interfaces.stages import Selection
from selfimprove.records import Record

Arrays = Mapping[str, Any]
"""Numpy arrays by name."""


@dataclass(frozen=True, kw_only=True)
class Pool:
    """The records that a portioned selection chooses from, as far as it may see them again."""

    size: int
    at: Callable[[Sequence[int]], Iterable[Record]]
    """The records at some places, given in ascending order; each call reads them again, one by one."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What a portioned selection keeps, and what it can tell about it."""

    stay: Sequence[int]
    """Places of the records that it keeps, in ascending order."""
    twins: Sequence[tuple[int, int, float]] = ()
    """Of records that go for what they resemble: (place, place of the one that stays, similarity)."""
    score: tuple[str, Any] | None = None
    """A name and a number for each record of the pool, by which it chose: a numpy array (size,)."""


@dataclass
class Portioned(Selection):
    """A selection in two parts: read every record once, on its own, then choose among all by what was read."""

    def known(self, context: Context) -> Arrays:
        """What reading needs besides a record, such as the n-grams of held-out problems."""
        return {}

    @abstractmethod
    def read(self, records: Sequence[Any], known: Arrays) -> Arrays:
        """What the choice needs of some records, in the same arrays for any number of them.

        The arrays of several portions are put together along their first axis. It runs in processes that have no model
        and no context, and what it returns must not depend on which records come together.
        """

    @abstractmethod
    def choose(self, read: Arrays, pool: Pool, context: Context) -> Choice:
        """The records that stay."""


def chosen(method: Portioned, records: Sequence[Any], context: Context) -> list[Any]:
    """What a portioned selection keeps of records in memory: the `select` of each of them."""
    if not records:
        return []
    pool = Pool(size=len(records), at=lambda places: (records[place] for place in places))
    stay = method.choose(method.read(records, method.known(context)), pool, context).stay
    return [records[int(place)] for place in stay]
