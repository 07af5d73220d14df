"""Reads the lines of an untrusted file of JSON, and what one holds; an error is one line. Not a method."""

from __future__ import annotations

import gzip
import json
import os
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from selfimprove import foreign
from selfimprove.errors import DataError, MissingError
from selfimprove.problems.room import Room

LARGEST = 1_000_000
"""Most bytes of a row. How many rows a file may have follows from the memory that they take, see `room`."""
_FOREIGN = {
    b"PK\x03\x04": "a zip archive",
    b"\x1f\x8b": "a gzip archive",
    b"BZh": "a bzip2 archive",
    b"\xfd7zXZ": "an xz archive",
    b"\x28\xb5\x2f\xfd": "a zstd archive",
    b"7z\xbc\xaf": "a 7z archive",
    b"PAR1": "a parquet file",
    b"ARROW1": "an arrow file",
    b"\x93NUMPY": "a numpy file",
    **{bytes([0x80, protocol]): "a pickle, which can run code" for protocol in range(2, 6)},
}
"""First bytes of files that are not text -> the kind of file; nothing is unpacked or executed."""
_SCRIPTS = (".py", ".ipynb", ".sh", ".js", ".pkl", ".pickle", ".pt", ".pth")
_TABLES = (".csv", ".tsv", ".parquet", ".arrow")
"""Files that the task hub reads."""
_NO_FILES = (Path("/dev"), Path("/proc"), Path("/sys"))


def lines(path: Path, option: str, room: Room | None = None, packed: bool = False) -> Iterator[tuple[int, bytes]]:
    """The nonblank lines of a file with their numbers; of a line that is too long, only the beginning.

    Args:
        option: the option that names the file, for messages.
        room: for the rows, if several files share it; it counts this file already.
        packed: the file is packed by gzip, and unpacked line by line.

    Raises:
        MissingError: the file does not exist.
        DataError: the file is not text, or takes more memory than is allowed.
    """
    if not path.exists():
        raise MissingError(f"{option}: the file {path} does not exist")
    if packed:
        check_link(path, option)
    else:
        check_kind(path, option)
    room, number = room or Room(f"{option}: {path}", path), 0
    with os.fdopen(foreign.opened(path.resolve()), "rb") as raw, _unpacked(raw, path, packed) as file:
        size = os.fstat(raw.fileno()).st_size
        while line := file.readline(LARGEST + 2):
            number, filled, fits = number + 1, bool(line.strip()), True
            first = line
            fits = room.take_line(line) if filled else room.take_blank(len(line))
            while fits and line and not line.endswith(b"\n"):
                line = file.readline(LARGEST)
                fits = room.take(len(line))
            if not fits:
                room.cut(size - (raw.tell() if packed else file.tell() - len(line)))
                return
            if filled:
                yield number, first


@contextmanager
def _unpacked(raw: BinaryIO, path: Path, packed: bool) -> Iterator[BinaryIO]:
    """The file, or what it holds if it is packed.

    Raises:
        DataError: it is not packed by gzip, or damaged.
    """
    try:
        yield cast(BinaryIO, gzip.GzipFile(fileobj=raw)) if packed else raw
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise DataError(f"{path} cannot be unpacked: {error}") from error


def check_link(path: Path, option: str) -> None:
    """Refuse a link to another place: what a stranger's link leads to is not what the user has named.

    Links into the blobs of the hub's cache that a file belongs to are its own.

    Raises:
        DataError: the message names the place.
    """
    if not path.is_symlink():
        return
    try:
        target, home = path.resolve(), path.parent.resolve()
    except (OSError, RuntimeError) as error:
        raise DataError(f"{option}: {path} is a link in a circle; name a file") from error
    cached = target.parent.name == "blobs" and home.is_relative_to(target.parent.parent / "snapshots")
    if not (target.is_relative_to(home) or cached):
        raise DataError(f"{option}: {path} is a link to {target}; name that file itself, if it is meant")


def check_kind(path: Path, option: str) -> None:
    """Refuse a file that is not text: archives, pickles and scripts are neither unpacked nor executed.

    Raises:
        DataError: the message says what the file is.
    """
    check_link(path, option)
    if path.is_dir() and any(path.glob("*.py")):
        raise DataError(f"{option}: {path} is a folder with a script; data sets with code are not run")
    if not path.is_file() or any(path.is_relative_to(place) for place in _NO_FILES):
        raise DataError(f"{option}: {path} is not a file; name one with a JSON object on each line")
    if path.suffix.lower() in _SCRIPTS:
        raise DataError(f"{option}: {path} can hold code; data sets with code are not run")
    try:
        start = beginning(path)
    except PermissionError as error:
        raise DataError(f"{option}: {path} cannot be read: {error.strerror}") from error
    kind = kind_of(start)
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        kind = "UTF-16 text"
    if option == "task.jsonl.path" and start.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"["):
        kind = "a JSON list"
    table = option == "task.jsonl.path" and path.suffix.lower() in (_TABLES if kind != "a JSON list" else (".json",))
    if kind or table:
        hub = f", or use task=hub task.hub.path={path}" if table else ""
        raise DataError(
            f"{option}: {path} is {kind or 'a table'}; write its rows as UTF-8 text with a JSON object on each "
            f"line{hub}"
        )


def beginning(path: Path) -> bytes:
    """The first bytes of a file, which tell its kind."""
    handle = foreign.opened(path.resolve())
    try:
        return os.read(handle, 8)
    finally:
        os.close(handle)


def kind_of(start: bytes) -> str:
    """The kind of a file that is not text, by its first bytes; "" for any other."""
    return next((kind for mark, kind in _FOREIGN.items() if start.startswith(mark)), "")


def values_of(line: bytes, fraction: Callable[[str], float] = float) -> dict[str, Any]:
    """The columns of a row.

    Args:
        fraction: makes a number that has a fraction or an exponent; `cells.Written` keeps how it was written.

    Raises:
        DataError: the row is too long, or not a JSON object.
    """
    if len(line.rstrip(b"\n")) > LARGEST:
        raise DataError("a row of more than 1 MB")
    values = json_of(line, fraction)
    if not isinstance(values, dict):
        begin = line[:80].decode(errors="replace").strip()
        meant = begin.startswith(("{", "["))  # what was never JSON may be a private file that a recipe names
        raise DataError(f"not a JSON object{f': {begin!r}' if meant else ''}")
    return values


def json_of(text: bytes, fraction: Callable[[str], float] = float) -> Any:
    """A JSON value; None if the text is no JSON.

    Raises:
        DataError: it is not UTF-8, has too many levels or values, an object has a key twice, or a number is none that
            JSON has.
    """
    if excess := foreign.excess(text):
        raise DataError(f"not a JSON object that can be read: {excess}")
    try:
        return json.loads(
            text.decode("utf-8-sig"),
            object_pairs_hook=_object,
            parse_constant=_no_number,
            parse_float=fraction,
            parse_int=_whole,
        )
    except UnicodeDecodeError as error:
        raise DataError(f"not UTF-8 text: {error.reason} at byte {error.start} of the line") from error
    except DataError:
        raise
    except (ValueError, RecursionError):
        return None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; a repeated key is an error because either value could be meant."""
    values = dict(pairs)
    if len(values) < len(pairs):
        [twice, *_] = (name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise DataError(f"key {twice[:80]!r} appears twice")
    return values


def _no_number(word: str) -> Any:
    raise DataError(f"{word} is not a JSON value; write a number or null")


def _whole(digits: str) -> int:
    try:
        return int(digits)
    except ValueError as error:
        raise DataError(f"not a JSON object: a number of {len(digits)} digits; write it as a text") from error
