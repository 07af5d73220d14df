"""The process of `packed_rows`: prints the rows of Parquet and Arrow files as JSON."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from datetime import date, time
from decimal import Decimal
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # it imports nothing of this package but its limits, by their file
    sys.path.insert(0, str(Path(__file__).parents[1] / "safety"))
    import limited  # pyright: ignore[reportMissingImports]
else:
    from selfimprove.safety import limited

AT_ONCE, BUFFER = 256, 1 << 20
"""Rows that are unpacked together; bytes of a column that are read together."""


def _write(files: Sequence[str], claim: int, most: int, size: int) -> None:
    """Print the rows, one on each line.

    A list ends them after `most` rows or `size` bytes: the number of the file, and how much of it was read, 0 to 1.
    Null does if a file says itself that it has more than `claim` rows, a text if one cannot be read.
    """
    write, count = sys.stdout.write, 0
    try:
        for number, (row, read) in ((at, found) for at, file in enumerate(files) for found in _rows(file, claim)):
            if row is None:
                write("null\n")
                return
            line = json.dumps(row, default=_plain)
            count, size = count + 1, size - len(line)
            if count > most or size < 0:
                write(f"[{number}, {read}]\n")
                return
            write(line + "\n")
    except MemoryError:
        write(json.dumps("it takes more memory than it may") + "\n")
    except BaseException as error:  # whatever the library raises
        write(json.dumps(" ".join(str(error).split())[:200] or type(error).__name__) + "\n")


def _rows(file: str, most: int) -> Iterator[tuple[dict[str, Any] | None, float]]:
    """The rows of a file, each with the part of the file that lies before it.

    None in the place of a row if the file says that it has more than `most`.
    """
    import pyarrow

    pyarrow.set_cpu_count(1)
    before = 0.0
    for batch, after in _batches(file, most):
        if batch is None or batch.num_rows > most:
            yield None, before
            return
        for start in range(0, batch.num_rows, AT_ONCE):
            for at, row in enumerate(batch.slice(start, AT_ONCE).to_pylist(), start):
                yield row, before + (after - before) * at / batch.num_rows
        before = after


def _batches(file: str, most: int) -> Iterator[tuple[Any, float]]:
    """The rows of a file in parts, each with the part of the file that ends with it."""
    import pyarrow
    from pyarrow import ipc, parquet

    with open(file, "rb") as head:  # noqa: PTH123
        packed, size = head.read(4) == b"PAR1", os.fstat(head.fileno()).st_size
    if packed:
        table = parquet.ParquetFile(file, memory_map=False, buffer_size=BUFFER)
        rows, done = table.metadata.num_rows, 0
        if rows > most:
            yield None, 0
        for batch in table.iter_batches(AT_ONCE, use_threads=False):
            done += batch.num_rows
            yield batch, min(1.0, done / max(1, rows))
        return
    source = pyarrow.OSFile(file)
    try:
        stream = ipc.open_stream(source)
    except pyarrow.ArrowInvalid:
        source.seek(0)
        opened = ipc.open_file(source)
        count = opened.num_record_batches
        yield from ((opened.get_batch(number), (number + 1) / count) for number in range(count))
        return
    for batch in stream:
        yield batch, min(1.0, source.tell() / size)


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
