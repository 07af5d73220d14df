"""Open a file that may come from a stranger: a regular file only, without following a link and without waiting.

A named pipe in the place of a file would make a reader wait for ever, a device never ends, a link reads something else
than was named, and a file of a terabyte of nothing takes a kilobyte of disk. Everything that reads a run folder opens
its files here. The folders above a file may be links; whoever owns a folder checks those.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from selfimprove.errors import DataError
from selfimprove.foreign.bounded_json import parsed

LARGEST = 32_000_000
"""Most bytes of a JSON file, which is read as a whole; in memory it is some ten times as large."""
LINE = 64_000_000
"""Most bytes of a line, which is read as a whole."""
HOLLOW = 16_000_000
"""Bytes from which on a file must not consist of holes mostly."""
_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
    stat.S_IFLNK: "a symlink",
}


def opened(path: str | Path) -> int:
    """A descriptor of a regular file, to read; the caller closes it. Raises what `sized` raises."""
    return sized(path)[0]


def sized(path: str | Path) -> tuple[int, int]:
    """A descriptor of a regular file, to read, and how many bytes it has; the caller closes it.

    Raises:
        DataError: a symlink, a pipe, a socket, a device, a folder or a hollow file is in its place, or it lies below
            a file.
        OSError: it does not exist or may not be read.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO, errno.ENODEV, errno.EMLINK):
            raise DataError(_odd(path, os.lstat(path).st_mode)) from error
        if error.errno == errno.ENOTDIR:
            raise DataError(f"{path} lies below a file, not a folder; put the folder in its place") from error
        raise
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise DataError(_odd(path, found.st_mode))
        if found.st_size > HOLLOW and hollow(handle, found.st_size):
            raise DataError(f"{path} claims {found.st_size:,} bytes and is mostly a hole; put the file in its place")
    except BaseException:
        os.close(handle)
        raise
    return handle, found.st_size


def check(path: str | Path) -> None:
    """Make sure that a regular file, or nothing, is in a place.

    Raises:
        DataError: a symlink, a pipe, a socket, a device or a folder is.
    """
    try:
        mode = os.lstat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return
    if not stat.S_ISREG(mode):
        raise DataError(_odd(path, mode))


def content(path: str | Path, most: int = LARGEST) -> bytes:
    """The bytes of a file.

    Raises:
        DataError: it is no regular file, or larger than `most` bytes.
        OSError: it does not exist or may not be read.
    """
    handle, size = sized(path)
    try:
        if size > most:
            raise DataError(f"{path} has {size:,} bytes, and at most {most:,} are read")
        return _all(handle, size)
    finally:
        os.close(handle)


def lines(path: str | Path, most: int = LINE) -> Iterator[bytes]:
    """The lines of a file with their line ends.

    Raises:
        DataError: it is no regular file, or a line has more than `most` bytes.
        OSError: it does not exist or may not be read.
    """
    with os.fdopen(opened(path), "rb") as file:
        while line := file.readline(most + 1):
            if len(line) > most:
                raise DataError(f"{path} is damaged: it has a line of more than {most:,} bytes")
            yield line


def json_in(path: str | Path, most: int = LARGEST, way: str = "") -> Any:
    """The value of a JSON file.

    Args:
        way: what to do about a damaged file.

    Raises:
        DataError: it is no regular file, too large or too deep, or no JSON.
        OSError: it does not exist or may not be read.
    """
    try:
        return parsed(content(path, most))
    except ValueError as error:
        raise DataError(f"{path} is damaged: {error}{f'. {way}' if way else ''}") from error


def hollow(handle: int, size: int) -> bool:
    """Whether more than half of an open file is holes, which take no room on the disk."""
    data = at = 0
    try:
        for _ in range(1000):
            begin = os.lseek(handle, at, os.SEEK_DATA)
            at = os.lseek(handle, begin, os.SEEK_HOLE)
            data += at - begin
            if at >= size or 2 * data > size:
                return 2 * data <= size
        return False  # too many small holes to count
    except OSError as error:
        if error.errno != errno.ENXIO:  # no data from here on; anything else: the file system cannot tell
            return False
    finally:
        os.lseek(handle, 0, os.SEEK_SET)
    return 2 * data <= size


def _all(handle: int, size: int) -> bytes:
    """What an open file holds, up to the size that it had."""
    parts, left = [os.read(handle, size)], size
    while (left := left - len(parts[-1])) and parts[-1]:
        parts.append(os.read(handle, left))
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _odd(path: str | Path, mode: int) -> str:
    return f"{path} is {_KINDS.get(stat.S_IFMT(mode), 'no file')}, not a file; put the file in its place"
