"""How much memory the rows of data may take: a file of a stranger may hold any number, and unpack to any size.

What is counted is an estimate from above: a row costs some 2 kB as a problem, and each byte of its text twelve, most of
them where wording is compared; letters that take more room in memory than in the file count as what they take there.
Without a word from the user all rows of a data set may take ALWAYS megabytes, however large its files are. `check`
looks at the beginning of large files only, see `first_look`.
"""

from __future__ import annotations

import contextlib
import math
import os
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from selfimprove.errors import DataError, RecipeError

VARIABLE = "SELFIMPROVE_DATA_MB"
"""The environment variable with the megabytes that data may take in memory."""
ALWAYS, LOOK = 400, 60
"""Without it: megabytes that data may take; in any case: megabytes of what `check` looks at."""
ROW, BYTE, VALUE, BLANK = 2000, 12, 100, 100
"""Bytes of memory for each row, for each byte of it, and for each value in it; what a blank line counts as."""
_looks: list[list[Room]] = []
"""The rooms of data that was read in part, in each look that is going on."""


@contextlib.contextmanager
def first_look() -> Iterator[None]:
    """Inside, data is read up to LOOK megabytes, and whether the rest would fit is estimated."""
    _looks.append([])
    try:
        yield
    finally:
        _looks.pop()


def share() -> float:
    """The part of the data that was read in this look: 1 for all of it, and outside of a look."""
    return min((room.read / max(room.size, 1) for room in (_looks[-1] if _looks else ())), default=1.0)


def scaled(count: int) -> int:
    """How many there are in all of the data, by those in the part that was read."""
    return round(count / max(share(), 1e-9))


def partly() -> list[str]:
    """A line on how much was read, if it is not all."""
    return [f"only the first {share():.1%} is looked at here; a run reads all of it"] if share() < 1 else []


def allowed() -> int | None:
    """Megabytes that data may take in memory; None if nobody has said so.

    Raises:
        RecipeError: the variable is no number.
    """
    if (said := os.environ.get(VARIABLE)) is None:
        return None
    if not (said.isascii() and said.isdecimal() and 0 < len(said) < 9):
        raise RecipeError(f"{VARIABLE} is {said[:40]!r}; it must be a number of megabytes, such as 4000")
    return int(said)


class Room:
    """The memory that is left for the rows of a data set."""

    def __init__(self, name: str, *files: Path) -> None:
        """All that is allowed.

        Args:
            name: the data, for messages.
            files: what it is read from, as far as that is known; `hold` adds others.
        """
        self.name, self.taken, self.size, self.seen = name, 0, 0, 0
        said = allowed()
        self.all = ALWAYS if said is None else said
        """Megabytes that the rows may take."""
        self.read = 0.0
        """Bytes of the files that were read before a look ended."""
        self.full = False
        """Whether a look has ended: nothing more is read."""
        for file in files:
            self.hold(file)

    def hold(self, file: Path) -> None:
        """Count a file that is read next: what it takes on the disk, so not its holes."""
        found = file.stat()
        self.size += min(found.st_size, 512 * found.st_blocks)

    @property
    def left(self) -> int:
        """Bytes that are left now: in a look, of what it reads."""
        most = min(self.all, LOOK) if self.looks else self.all
        return most * 1_000_000 - self.taken

    @property
    def looks(self) -> bool:
        """Whether this is a look, which ends where its part is read."""
        return bool(_looks)

    def take(self, size: int, values: int = 0) -> bool:
        """Make room for a row of so many bytes with so many values in it; whether it is to be read.

        It is not where a look ends, after which the reader calls `cut`.

        Raises:
            DataError: there is none left.
        """
        return self._take(ROW + BYTE * size + VALUE * values, size)

    def take_blank(self, size: int) -> bool:
        """Count a line without a row, which takes no memory but time."""
        return self._take(BLANK, size)

    def _take(self, more: int, size: int) -> bool:
        if self.full or (more > self.left and self.looks and self.taken + more <= 1_000_000 * self.all):
            return False
        self.taken, self.seen = self.taken + more, self.seen + size
        if self.left < 0:
            raise self.overfull()
        return True

    def take_line(self, line: bytes) -> bool:
        """Make room for a line of JSON."""
        return self.take(_weight(line), line.count(b",") + line.count(b"[") + line.count(b"{"))

    def cut(self, unread: float) -> None:
        """End the look.

        Args:
            unread: bytes of the files that were not read.

        Raises:
            DataError: at the pace so far, all of it does not fit.
        """
        if self.full:
            return
        self.full, self.read = True, max(0.0, self.size - unread)
        _looks[-1].append(self)
        if self.taken > 1_000_000 * self.all * max(share(), 1e-9):
            raise self.overfull()

    def overfull(self) -> DataError:
        """The error that there is no room left, and how to make some."""
        part = max(self.seen, self.read) / self.size if self.size else 0.0
        whole = self.taken / (part if 0 < part < 1 else 0.1)  # nobody knows how much a packed file holds
        most = 100 * math.ceil(1.1 * whole / 100_000_000)
        return DataError(
            f"{self.name} takes more than {self.all} MB in memory, about {most:,} MB in all; name a part of it, or "
            f"allow it where that much is free: {VARIABLE}={most}"
        )


class Passing(Room):
    """The room of rows that pass by, because nobody keeps them: any number fits, one at a time."""

    def _take(self, more: int, size: int) -> bool:
        self.seen += size
        return True


def _weight(line: bytes) -> int:
    """The bytes of a line, or more where its letters take more in memory: all of a text take what its largest takes."""
    if not line.isascii():
        return max(len(line), 2 * len(unicodedata.normalize("NFKC", line.decode(errors="replace"))))
    return 2 * len(line) if b"\\u" in line else len(line)
