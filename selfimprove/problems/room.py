"""How much memory the rows of data may take: a file of a stranger may hold any number, and unpack to any size.

What is counted is an estimate from above, measured on `check`: a row costs some 2 kB as a problem, and each byte of its
text twelve, most of them where wording is compared. Whoever has the memory allows more.
"""

from __future__ import annotations

import os

from selfimprove.errors import DataError, RecipeError

VARIABLE, MEGABYTES = "SELFIMPROVE_DATA_MB", 400
"""The environment variable with the megabytes that data may take in memory, and what it is without."""
ROW, BYTE, VALUE = 2000, 12, 100
"""Bytes of memory for each row, for each byte of it, and for each value in it."""


def allowed() -> int:
    """Megabytes that data may take in memory.

    Raises:
        RecipeError: the variable is no number.
    """
    said = os.environ.get(VARIABLE, str(MEGABYTES))
    if not (said.isascii() and said.isdecimal() and 0 < len(said) < 9):
        raise RecipeError(f"{VARIABLE} is {said[:40]!r}; it must be a number of megabytes, such as 4000")
    return int(said)


class Room:
    """The memory that is left for the rows of a data set."""

    def __init__(self, name: str) -> None:
        """All that is allowed.

        Args:
            name: the data, for messages.
        """
        self.name, self.all = name, allowed()
        self.left = self.all * 1_000_000

    def take(self, size: int, values: int = 0) -> None:
        """Make room for a row of so many bytes with so many values in it.

        Raises:
            DataError: there is none left.
        """
        self.left -= ROW + BYTE * size + VALUE * values
        if self.left < 0:
            raise DataError(
                f"{self.name} takes more than {self.all} MB in memory; name a part of it, or allow more: "
                f"{VARIABLE}={10 * self.all}"
            )

    def take_line(self, line: bytes) -> None:
        """Make room for a line of JSON."""
        self.take(len(line), line.count(b",") + line.count(b"[") + line.count(b"{"))
