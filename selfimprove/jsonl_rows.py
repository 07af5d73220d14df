"""Reads the rows of a file that somebody else wrote; what is wrong is said in one line, with the file and its line.

Not a method: `jsonl` uses it, and `hub_rows` its parts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfimprove.errors import DataError, MissingError
from selfimprove.records import Message
from selfimprove.registry import nearest
from selfimprove.text import canonical

LARGEST = 1_000_000
"""Bytes in the longest row."""
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclass(frozen=True)
class Row:
    """One problem of the file."""

    line: int
    messages: list[Message]
    answer: str | None
    key: str
    """The canonical text of all messages."""


def read(path: Path, prompt_column: str, answer_column: str, skip_bad: int) -> tuple[list[Row], dict[str, int]]:
    """The rows of a file, each problem once, and how many rows there were, were skipped and were duplicates.

    Raises:
        MissingError: there is no such file.
        DataError: it cannot be read, or more than `skip_bad` of its rows cannot.
    """
    if not path.exists():
        raise MissingError(f"task.jsonl.path: there is no file {path}")
    if not path.is_file():
        raise DataError(f"task.jsonl.path: {path} is not a file; name one with a JSON object on each line")
    found: dict[str, Row] = {}
    counts = {"rows": 0, "skipped": 0, "duplicates": 0}
    for number, line in _lines(path):
        counts["rows"] += 1
        try:
            row = _row(number, line, prompt_column, answer_column)
        except DataError as error:
            counts["skipped"] += 1
            if counts["skipped"] > skip_bad:
                raise DataError(f"{path}:{number}: {error}") from error
            continue
        counts["duplicates"] += row.key in found
        found.setdefault(row.key, row)
    if not found:
        raise DataError(f"task.jsonl.path: {path} has no rows")
    return list(found.values()), counts


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """The lines that are not blank, with their numbers; of a line that is too long only the beginning."""
    with path.open("rb") as file:
        number = 0
        while line := file.readline(LARGEST + 2):
            number += 1
            if line.strip():
                yield number, line
            while line and not line.endswith(b"\n"):
                line = file.readline(LARGEST)


def _row(number: int, line: bytes, prompt_column: str, answer_column: str) -> Row:
    if len(line.rstrip(b"\n")) > LARGEST:
        raise DataError(f"a row of more than 1 MB: {line[:80].decode(errors='replace')!r}")
    try:
        values = json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise DataError(f"not UTF-8 text: {error.reason} at byte {error.start} of the line") from error
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise DataError(f"not a JSON object: {line[:80].decode(errors='replace').strip()!r}")
    for column in (prompt_column, answer_column):
        if column not in values:
            raise DataError(f"no column {column!r}.{nearest(column, values)}")
    messages = messages_of(values[prompt_column], prompt_column)
    return row_of(number, messages, reference_of(values[answer_column], answer_column))


def row_of(number: int, messages: list[Message], answer: str | None) -> Row:
    """A row with the key that follows from its messages."""
    return Row(number, messages, answer, canonical("\n".join(message["content"] for message in messages)))


def reference_of(value: Any, column: str) -> str | None:
    """A reference answer as text; None where there is none.

    Raises:
        DataError: it is neither a text nor a number.
    """
    if isinstance(value, list | dict):
        raise DataError(f"{column!r} must be a text or a number, not {json.dumps(value)[:80]}")
    return value if value is None else clean(value if isinstance(value, str) else json.dumps(value))


def messages_of(value: Any, column: str) -> list[Message]:
    """A prompt as messages.

    Raises:
        DataError: it is neither a text nor a list of messages, or it is empty.
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
    """Without control characters other than newline and tab, and without halves of characters."""
    return _CONTROL.sub("", text)
