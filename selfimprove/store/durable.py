"""All writes to a run folder go through here: each operation is atomic and survives a power cut.

A file is written under a temporary name, fsynced and renamed, then its folder is fsynced; without the last fsync a
power cut may lose the new name. A failed fsync is never retried: the kernel drops the pages that it could not write, so
a second fsync may succeed although data is lost. Tests can inject a fault at each operation with `failpoints`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from selfimprove import foreign
from selfimprove.errors import DataError, StorageError

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EFBIG, errno.ESTALE, errno.ELOOP, errno.EMFILE}
_FOREIGN = ("No space left on device", "Disk quota exceeded", "Input/output error", "File too large")
"""Messages of disk errors that safetensors and tokenizers raise as other types than OSError, and shutil without a
number."""


@contextlib.contextmanager
def storage() -> Iterator[None]:
    """Raise the errors of a full or failing disk as a StorageError."""
    try:
        yield
    except StorageError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and (error.errno in FULL or isinstance(error, PermissionError)):
            where = f" ({error.filename})" if error.filename else ""
            raise StorageError(
                f"cannot write{where}: {error.strerror}. Finished steps are kept; fix this, then: selfimprove resume"
            ) from error
        said = next((words for words in _FOREIGN if words in str(error)), "")
        if not said:
            raise
        raise StorageError(
            f"cannot write: {said}. Finished steps are kept; fix this, then: selfimprove resume"
        ) from error


def write(path: Path, data: bytes) -> None:
    """Write a file atomically: afterwards it has either the old content or all of the new."""
    with storage():
        fresh = path.with_name(f".{path.name}.new")
        _put(fresh, os.O_CREAT | os.O_EXCL, data, "write")
        rename(fresh, path, "write")
        fsync(path.parent, "write")


def append(path: Path, data: bytes) -> None:
    """Append to a file with one write. A kill may leave part of the data, without its line end.

    Raises:
        DataError: it is no regular file, or has another name too, whose content would change with it.
    """
    alone(path)
    with storage():
        fresh = not path.exists()
        _put(path, os.O_CREAT | os.O_APPEND, data, "append")
        if fresh:
            fsync(path.parent, "append")


def truncate(path: Path, size: int) -> None:
    """Truncate a file, on the same terms as `append`."""
    alone(path)
    with storage():
        _point("truncate.cut", path)
        handle = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            os.ftruncate(handle, size)
        finally:
            os.close(handle)
        fsync(path, "truncate")


def alone(path: Path) -> None:
    """Make sure that a regular file with one name, or nothing, is in a place that is to be written to.

    Raises:
        DataError: something else is. Its other name may be a file of somebody else.
    """
    foreign.check(path)
    with contextlib.suppress(FileNotFoundError):
        if (names := path.lstat().st_nlink) > 1:
            raise DataError(
                f"{path} is one of {names} hard links to a file, and all would change with it; put a copy in its place"
            )


def mkdir(path: Path) -> None:
    """Create a folder and its parents."""
    with storage():
        missing = [folder for folder in (path, *path.parents) if not folder.exists()]
        for folder in reversed(missing):
            _point("mkdir.make", folder)
            folder.mkdir(exist_ok=True)
            fsync(folder.parent, "mkdir")


def remove(path: Path) -> None:
    """Remove a file or a folder with its content, if it exists; a kill may leave part of it."""
    with storage():
        _point("remove.entries", path)
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def rename(source: Path, target: Path, what: str) -> None:
    """Move a file or folder atomically; an existing file is replaced."""
    with storage():
        _point(f"{what}.rename", target)
        try:
            source.replace(target)
        except IsADirectoryError:  # a folder in the place of a file
            foreign.check(target)
            raise


def link(path: Path, target: str) -> None:
    """Point a symlink at a target atomically; the link exists at every moment."""
    with storage():
        fresh = path.with_name(f".{path.name}.new")
        fresh.unlink(missing_ok=True)
        _point("link.make", path)
        fresh.symlink_to(target)
        rename(fresh, path, "link")
        fsync(path.parent, "link")


def fsync(path: Path, what: str) -> None:
    """Wait until a file, or the names in a folder, would survive a power cut."""
    with storage():
        handle = os.open(path, os.O_RDONLY)
        try:
            _sync(handle, path, what)
        finally:
            os.close(handle)


def _put(path: Path, flags: int, data: bytes, what: str) -> None:
    """Open without following a planted symlink, write and fsync."""
    _point(f"{what}.open", path)
    flags |= os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        handle = os.open(path, flags, 0o644)
    except FileExistsError:  # what a kill left of an earlier write, or something that a stranger planted
        if path.is_dir() and not path.is_symlink():
            foreign.check(path)
        path.unlink()
        handle = os.open(path, flags, 0o644)
    try:
        _point(f"{what}.data", path, handle, data)
        left = memoryview(data)
        while left:
            left = left[os.write(handle, left) :]
        _sync(handle, path, what)
    finally:
        os.close(handle)


def _sync(handle: int, path: Path, what: str) -> None:
    _point(f"{what}.fsync", path)
    os.fsync(handle)
    if "SELFIMPROVE_FAILPOINT" in os.environ:
        from selfimprove.store import failpoints

        failpoints.synced(path)


def _point(name: str, path: Path, handle: int | None = None, data: bytes = b"") -> None:
    """A point where a test may inject a fault."""
    if "SELFIMPROVE_FAILPOINT" in os.environ:
        from selfimprove.store import failpoints

        failpoints.hit(name, path, handle, data)
