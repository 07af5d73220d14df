"""Reads the rows of an untrusted file; an error is one line with the file and the line number.

Not a method: the task `jsonl` uses it, `hub_rows` and `code_rows` use its parts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from selfimprove.errors import DataError, MissingError
from selfimprove.problems.splits import folded, split_of
from selfimprove.records import Message
from selfimprove.registry import nearest

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
_NO_FILES = (Path("/dev"), Path("/proc"), Path("/sys"))
_LOOSE = re.compile(r"[\W_]+")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclass(frozen=True)
class Row:
    """One problem of the file."""

    line: int
    messages: list[Message]
    answer: str | None
    key: str
    """The canonical text of all messages."""
    cleaned: bool = False
    """Whether control characters were removed."""


def read(path: Path, prompt_column: str, answer_column: str, skip_bad: int) -> tuple[list[Row], dict[str, int]]:
    """The rows of a file without duplicates, and the counts of its rows, skipped rows, duplicates, and rows cleaned of
    control characters.

    Raises:
        MissingError: the file does not exist.
        DataError: the file cannot be read, or more than `skip_bad` of its rows.
    """
    found: dict[str, Row] = {}
    counts = {"rows": 0, "skipped": 0, "duplicates": 0, "cleaned": 0}
    for number, line in lines(path, "task.jsonl.path"):
        counts["rows"] += 1
        try:
            row = _row(number, values_of(line), prompt_column, answer_column)
        except DataError as error:
            counts["skipped"] += 1
            if counts["skipped"] > skip_bad:
                raise DataError(f"{path}:{number}: {error}") from error
            continue
        counts["duplicates"] += row.key in found
        counts["cleaned"] += row.cleaned
        found.setdefault(row.key, row)
    if not found:
        raise DataError(f"task.jsonl.path: {path} has no rows")
    return list(found.values()), counts


def _check_kind(path: Path, option: str) -> None:
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
    if kind:
        raise DataError(f"{option}: {path} is {kind}; write its rows as UTF-8 text with a JSON object on each line")


def twins(keys: Iterable[str]) -> list[tuple[str, str]]:
    """Held-out problems that equal a training problem up to punctuation and spaces: (held out, training)."""
    training: dict[str, str] = {}
    others: list[str] = []
    for key in keys:
        if split_of(key) == "train":
            training.setdefault(_loose(key), key)
        else:
            others.append(key)
    return [(key, training[_loose(key)]) for key in others if _loose(key) in training]


def _loose(key: str) -> str:
    """A key without punctuation; a key of punctuation only stays as it is."""
    return _LOOSE.sub(" ", key).strip() or key


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
    _check_kind(path, option)
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


def values_of(line: bytes) -> dict[str, Any]:
    """The columns of a row.

    Raises:
        DataError: the row is too long, or not a JSON object.
    """
    if len(line.rstrip(b"\n")) > LARGEST:
        raise DataError(f"a row of more than 1 MB: {line[:80].decode(errors='replace')!r}")
    try:
        values = json.loads(line.decode("utf-8-sig"), object_pairs_hook=_object, parse_constant=_no_number)
    except UnicodeDecodeError as error:
        raise DataError(f"not UTF-8 text: {error.reason} at byte {error.start} of the line") from error
    except DataError:
        raise
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise DataError(f"not a JSON object: {line[:80].decode(errors='replace').strip()!r}")
    return values


def _row(number: int, values: dict[str, Any], prompt_column: str, answer_column: str) -> Row:
    for column in (prompt_column, answer_column):
        if column not in values:
            raise DataError(f"no column {column!r}.{nearest(column, values)}")
    asked, answer = values[prompt_column], values[answer_column]
    row = row_of(number, messages_of(asked, prompt_column), reference_of(answer, answer_column))
    return replace(row, cleaned=any(_CONTROL.search(text) for text in _texts([asked, answer])))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, list | dict):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _texts(part)
    elif isinstance(value, str):
        yield value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; a repeated key is an error because either value could be meant."""
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        raise DataError(f"key {next(name for name in names if names.count(name) > 1)[:80]!r} appears twice")
    return values


def _no_number(word: str) -> Any:
    raise DataError(f"{word} is not a JSON value; write a number or null")


def row_of(number: int, messages: list[Message], answer: str | None) -> Row:
    """A row with its key, the canonical text of its messages."""
    return Row(number, messages, answer, folded("\n".join(message["content"] for message in messages)))


def reference_of(value: Any, column: str) -> str | None:
    """A reference answer as text; None for null.

    Raises:
        DataError: the value is neither a text nor a number.
    """
    if isinstance(value, list | dict):
        raise DataError(f"{column!r} must be a text or a number, not {json.dumps(value)[:80]}")
    return value if value is None else clean(value if isinstance(value, str) else json.dumps(value))


def messages_of(value: Any, column: str) -> list[Message]:
    """A prompt as messages.

    Raises:
        DataError: the value is neither a text nor a list of messages, or it is empty.
    """
    given = [{"role": "user", "content": value}] if isinstance(value, str) else value or []
    texts = [
        message.get(field) if isinstance(message, dict) else None
        for message in (given if isinstance(given, list) else [given])
        for field in ("role", "content")
    ]
    if not all(isinstance(text, str) for text in texts):
        raise DataError(f"{column!r} must be a text or a list of {{role, content}}, not {json.dumps(value)[:80]}")
    messages = [{"role": message["role"], "content": clean(message["content"])} for message in given]
    if not messages or not messages[-1]["content"].strip():
        raise DataError(f"{column!r} is empty")
    return messages


def clean(text: str) -> str:
    """Remove surrogates and control characters other than newline and tab."""
    return _CONTROL.sub("", text)
