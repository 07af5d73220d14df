"""Reads Parquet and Arrow files in a separate process with little memory and time, and gives their rows as JSON.

Both are packed: 46 kB can hold a million rows, and a page can claim any size. The libraries that unpack them are
written in C++ and trust what a file says; here that ends a process which nothing depends on.
"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Iterator, Sequence
from datetime import date, time
from decimal import Decimal
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # the worker imports nothing of this package but its limits, by their file
    sys.path.insert(0, str(Path(__file__).parents[1] / "safety"))
    import limited  # pyright: ignore[reportMissingImports]
else:
    from selfimprove.errors import DataError
    from selfimprove.problems.room import MEGABYTES, Room
    from selfimprove.safety import limited

SECONDS, AT_ONCE = 8, 256
"""CPU time for what fits into the usual room, and rows that are unpacked together."""


def rows(files: Sequence[Path], room: Room) -> list[dict[str, Any]]:
    """The rows of Parquet and Arrow files; a date is a text in ISO 8601, a decimal the text of its digits.

    Raises:
        DataError: they cannot be read, or take more than the room.
    """
    times = max(1, room.all // MEGABYTES)
    given = json.dumps([[str(file) for file in files], room.left // 2000, room.left // 12]).encode()
    most = room.left // 12 + 1_000_000
    try:
        answer = limited.answer(Path(__file__), given, SECONDS * times, times * limited.MEMORY, most)
    except limited.Ended as ended:
        raise DataError(f"{room.name} {ended}") from ended
    found = list[dict[str, Any]]()
    for line in answer.splitlines():
        row = json.loads(line)
        if isinstance(row, str):
            raise DataError(f"{room.name} cannot be read: {row}")
        if row is None:
            room.take(1 << 60)
        room.take_line(line)
        found.append(row)
    return found


# ---- the worker --------------------------------------------------------------------------------------------------
def _write(files: Sequence[str], most: int, size: int) -> None:
    """Print the rows, one on each line; null after so many rows or bytes, a text if they cannot be read."""
    write, count = sys.stdout.write, 0
    try:
        for row in itertools.chain.from_iterable(_rows(file, most) for file in files):
            if row is None:
                write("null\n")
                return
            line = json.dumps(row, default=_plain)
            count, size = count + 1, size - len(line)
            if count > most or size < 0:
                write("null\n")
                return
            write(line + "\n")
    except MemoryError:
        write(json.dumps("it takes more memory than it may") + "\n")
    except BaseException as error:  # whatever the library raises
        write(json.dumps(" ".join(str(error).split())[:200] or type(error).__name__) + "\n")


def _rows(file: str, most: int) -> Iterator[dict[str, Any] | None]:
    """The rows of a file; None if it says itself that it has more than `most`."""
    import pyarrow
    from pyarrow import ipc, parquet

    pyarrow.set_cpu_count(1)
    with open(file, "rb") as head:  # noqa: PTH123
        packed = head.read(4) == b"PAR1"
    if packed:
        table = parquet.ParquetFile(file, memory_map=False)
        if table.metadata.num_rows > most:
            yield None
        batches: Any = table.iter_batches(AT_ONCE, use_threads=False)
    else:
        source = pyarrow.OSFile(file)
        try:
            batches = iter(ipc.open_stream(source))
        except pyarrow.ArrowInvalid:
            source.seek(0)
            opened = ipc.open_file(source)
            batches = (opened.get_batch(number) for number in range(opened.num_record_batches))
    for batch in batches:
        if batch.num_rows > most:
            yield None
        for start in range(0, batch.num_rows, AT_ONCE):
            yield from batch.slice(start, AT_ONCE).to_pylist()


def _plain(value: Any) -> Any:
    match value:
        case Decimal():
            return format(value, "f")
        case date() | time():  # a datetime is a date
            return value.isoformat()
        case bytes():
            return {"bytes": len(value)}
    return {type(value).__name__: str(value)[:200]}


if __name__ == "__main__":
    limited.limit()
    _write(*json.loads(sys.stdin.buffer.read()))
