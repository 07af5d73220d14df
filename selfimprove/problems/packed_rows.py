"""The rows of Parquet and Arrow files, which a separate process with little memory and time reads. Not a method.

Both are packed: 46 kB can hold a million rows, and a page can claim any size. The libraries that unpack them are
written in C++ and trust what a file says; in `table_worker` that ends a process which nothing depends on.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from selfimprove.errors import DataError
from selfimprove.problems import table_worker
from selfimprove.problems.room import BYTE, MEGABYTES, ROW, Room
from selfimprove.safety import limited

SECONDS = 8
"""CPU time for what fits into the usual room."""


def rows(files: Sequence[Path], room: Room) -> list[dict[str, Any]]:
    """The rows of Parquet and Arrow files; a date is a text in ISO 8601, a decimal the text of its digits.

    Raises:
        DataError: they cannot be read, or take more than the room.
    """
    times = max(1, room.all // MEGABYTES)
    given = json.dumps([[str(file) for file in files], room.left // ROW, room.left // BYTE]).encode()
    most = room.left // BYTE + 1_000_000
    try:
        answer = limited.answer(Path(table_worker.__file__), given, SECONDS * times, times * limited.MEMORY, most)
    except limited.Ended as ended:
        raise DataError(f"{room.name} {ended}") from ended
    found = list[dict[str, Any]]()
    for line in answer.splitlines():
        row = json.loads(line)
        if isinstance(row, str):
            raise DataError(f"{room.name} cannot be read: {row}")
        if row is None:  # there are more
            room.take(room.left)
        else:
            room.take_line(line)
            found.append(row)
    return found
