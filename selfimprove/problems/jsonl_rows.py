"""Reads the lines of an untrusted file of JSON, and what one holds; an error is one line. Not a method."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from selfimprove.errors import DataError, MissingError

LARGEST, MOST = 1_000_000, 5_000_000
"""Most bytes of a row, and most rows of a file: all rows stay in memory."""
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


def lines(path: Path, option: str) -> Iterator[tuple[int, bytes]]:
    """The nonblank lines of a file with their numbers; of a line that is too long, only the beginning.

    Args:
        option: the option that names the file, for messages.

    Raises:
        MissingError: the file does not exist.
        DataError: the file is not text, or has too many rows.
    """
    if not path.exists():
        raise MissingError(f"{option}: the file {path} does not exist")
    check_kind(path, option)
    with path.open("rb") as file:
        number = rows = 0
        while line := file.readline(LARGEST + 2):
            number += 1
            if line.strip():
                rows += 1
                if rows > MOST:
                    raise DataError(f"{option}: {path} has more than {MOST:,} rows; name a part of it")
                yield number, line
            while line and not line.endswith(b"\n"):
                line = file.readline(LARGEST)


def check_kind(path: Path, option: str) -> None:
    """Refuse a file that is not text: archives, pickles and scripts are neither unpacked nor executed.

    Raises:
        DataError: the message says what the file is.
    """
    if path.is_dir() and any(path.glob("*.py")):
        raise DataError(f"{option}: {path} is a folder with a script; data sets with code are not run")
    if not path.is_file() or any(path.is_relative_to(place) for place in _NO_FILES):
        raise DataError(f"{option}: {path} is not a file; name one with a JSON object on each line")
    if path.suffix.lower() in _SCRIPTS:
        raise DataError(f"{option}: {path} can hold code; data sets with code are not run")
    try:
        with path.open("rb") as file:
            start = file.read(8)
    except PermissionError as error:
        raise DataError(f"{option}: {path} cannot be read: {error.strerror}") from error
    kind = next((kind for mark, kind in _FOREIGN.items() if start.startswith(mark)), "")
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


def values_of(line: bytes, fraction: Callable[[str], float] = float) -> dict[str, Any]:
    """The columns of a row.

    Args:
        fraction: makes a number that has a fraction or an exponent; `cells.Written` keeps how it was written.

    Raises:
        DataError: the row is too long, or not a JSON object.
    """
    if len(line.rstrip(b"\n")) > LARGEST:
        raise DataError(f"a row of more than 1 MB: {line[:80].decode(errors='replace')!r}")
    values = json_of(line, fraction)
    if not isinstance(values, dict):
        raise DataError(f"not a JSON object: {line[:80].decode(errors='replace').strip()!r}")
    return values


def json_of(text: bytes, fraction: Callable[[str], float] = float) -> Any:
    """A JSON value; None if the text is no JSON.

    Raises:
        DataError: it is not UTF-8, an object has a key twice, or a number is none that JSON has.
    """
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
        names = [name for name, _ in pairs]
        raise DataError(f"key {next(name for name in names if names.count(name) > 1)[:80]!r} appears twice")
    return values


def _no_number(word: str) -> Any:
    raise DataError(f"{word} is not a JSON value; write a number or null")


def _whole(digits: str) -> int:
    try:
        return int(digits)
    except ValueError as error:
        raise DataError(f"not a JSON object: a number of {len(digits)} digits; write it as a text") from error
