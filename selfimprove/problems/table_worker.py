"""The process of `packed_rows`: prints the rows of Parquet and Arrow files as JSON."""

from __future__ import annotations

import itertools
import json
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

AT_ONCE = 256
"""Rows that are unpacked together."""


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
