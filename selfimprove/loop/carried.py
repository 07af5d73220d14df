"""Values that pass from round to round, such as the champion: each is computed from the previous one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Carried(Generic[Value]):
    """A value at the start of each round.

    Args:
        first: the value at the start of round 0.
        add: (the value at the start of a round, the number of that round) -> the value at the start of the next one.
        touched: see `RunDir.touched`; values after a round listed there are computed again.
    """

    def __init__(self, first: Value, add: Callable[[Value, int], Value], touched: Sequence[int]) -> None:
        self._values, self._add = [first], add
        self._touched, self._looked = touched, len(touched)

    def at(self, number: int) -> Value:
        """The value at the start of a round; all earlier rounds must be finished."""
        while self._looked < len(self._touched):
            del self._values[self._touched[self._looked] + 1 :]
            self._looked += 1
        while len(self._values) <= number:
            self._values.append(self._add(self._values[-1], len(self._values) - 1))
        return self._values[number]


class Gathered:
    """The items that earlier rounds have used, for example problems.

    Args:
        of: the number of a round -> its items.
        touched: as for `Carried`.
    """

    def __init__(self, of: Callable[[int], Iterable[str]], touched: Sequence[int]) -> None:
        self._of, self._first, self._rounds = of, dict[str, int](), 0
        self._touched, self._looked = touched, len(touched)

    def before(self, number: int, wanted: str) -> bool:
        """Whether an earlier round has used the item."""
        if any(past < self._rounds for past in self._touched[self._looked :]):
            self._first, self._rounds = {}, 0
        self._looked = len(self._touched)
        for past in range(self._rounds, number):
            for one in self._of(past):
                self._first.setdefault(one, past)
        self._rounds = max(self._rounds, number)
        return self._first.get(wanted, number) < number
