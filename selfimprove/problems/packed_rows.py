"""The rows of Parquet and Arrow files, which a separate process with little memory and time reads. Not a method.

Both are packed: 46 kB can hold a million rows, and a page can claim any size. The libraries that unpack them are
written in C++ and trust what a file says; in `table_worker` that ends a process which nothing depends on.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from selfimprove.errors import DataError
from selfimprove.problems import table_worker
from selfimprove.problems.room import ALWAYS, BYTE, ROW, Room
from selfimprove.safety import limited

SECONDS = 8
"""CPU time for what fits into the usual room."""


def rows(files: Sequence[Path], room: Room) -> list[dict[str, Any]]:
    """The rows of Parquet and Arrow files; a date is a text in ISO 8601, a decimal the text of its digits.

    Raises:
        DataError: they cannot be read, or take more than the room.
    """
    times = max(1, room.all // ALWAYS)
    claim = (1_000_000 * room.all - room.taken) // ROW
    given = json.dumps([[str(file) for file in files], claim, room.left // ROW, room.left // BYTE]).encode()
    most = room.left // BYTE + 1_000_000
    try:
        answer = limited.answer(Path(table_worker.__file__), given, SECONDS * times, times * limited.MEMORY, most)
    except limited.Ended as ended:
        raise DataError(f"{room.name} {ended}") from ended
    found, lines = list[dict[str, Any]](), BytesIO(answer)
    for line in lines:
        row = json.loads(line)
        if isinstance(row, str):
            raise DataError(f"{room.name} cannot be read: {row}")
        if row is None or (isinstance(row, list) and not room.looks):  # more than there is room for
            raise room.overfull()
        if isinstance(row, list) or not room.take_line(line):
            room.cut(_unread(files, answer, lines.tell()))
            break
        found.append(row)
    return found


def _unread(files: Sequence[Path], answer: bytes, read: int) -> float:
    """About how many bytes of the files lie behind so many bytes of the process's answer."""
    sizes, last = [file.stat().st_size for file in files], json.loads(answer[answer.rfind(b"\n", 0, -1) + 1 :])
    number, part = last if isinstance(last, list) else (len(files), 0)  # where the process has stopped
    seen = sum(sizes[:number]) + (sizes[number] * part if part else 0)
    return sum(sizes) - seen * read / len(answer)
