"""How much memory is free, and whether a file of a stranger that has to be read as a whole fits into it."""

from __future__ import annotations

import contextlib
from pathlib import Path

from selfimprove.errors import DataError
from selfimprove.foreign.plain_files import lines

SMALL, TIMES = 60_000_000, 8
"""Bytes of a file that is read in any case; how many times its size the objects take that are made of it."""
DENSE, A_VALUE, GRANTED = 16_000_000, 80, 400_000_000
"""Bytes of a file from which on its values are counted; bytes of memory that a value takes; those that any file may."""
_GROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)
"""Where a container says how much memory it may take, and takes."""


def free() -> int:
    """Bytes of memory that are free on this machine, and in its container; as good as endless where that is unknown."""
    found = [1 << 60]
    with contextlib.suppress(OSError, ValueError, IndexError):
        lines = Path("/proc/meminfo").read_text().splitlines()
        found += [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    for most, taken in _GROUPS:
        with contextlib.suppress(OSError, ValueError):  # `max` where there is no limit
            found.append(int(Path(most).read_text()) - int(Path(taken).read_text()))
    return max(0, min(found))


def check_fits(path: Path, size: int) -> None:
    """Refuse to read a file of so many bytes whose content needs more memory than is free.

    Raises:
        DataError: it does.
    """
    if size > SMALL and TIMES * size > (left := free()):
        raise DataError(
            f"{path} has {size:,} bytes, about {TIMES * size / 1e9:,.1f} GB in memory, and {left / 1e9:,.1f} "
            "GB are free here; use a machine with more memory"
        )


def check_dense(path: Path, size: int) -> None:
    """Refuse to read a file of JSON lines whose values take far more memory than records of its size do.

    Records are texts mostly. Brackets alone, `{},{},`, become thirty times as large as they are.

    Raises:
        DataError: there are too many values, or it is no regular file.
    """
    if size <= DENSE:
        return
    values = sum(line.count(b"[") + line.count(b"{") + line.count(b",") for line in lines(path))
    if A_VALUE * values > GRANTED + 2 * TIMES * size:
        raise DataError(
            f"{path} has {values:,} values in {size:,} bytes, more than records have; it is damaged, or was made to "
            "take memory"
        )
