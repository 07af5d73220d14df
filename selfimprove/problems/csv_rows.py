"""Reads tables of text as they stand: every cell of a CSV is a text, and JSON keeps its own types. Not a method.

Libraries guess types: `NA` becomes a missing value, `007` the number 7, `1` beside `0.5` becomes 1.0, a text that looks
like a date becomes a time. Nothing is guessed here.
"""

from __future__ import annotations

import csv
import io
import itertools
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

from selfimprove import foreign
from selfimprove.errors import DataError
from selfimprove.problems.cells import Written
from selfimprove.problems.jsonl_rows import LARGEST, json_of, lines, values_of
from selfimprove.problems.room import BYTE, Room

WHOLE = 100_000_000
"""Most bytes of a file that is one JSON value."""


def csv_rows(
    path: Path, delimiter: str = ",", names: Sequence[str] | None = None, room: Room | None = None
) -> Iterator[dict[str, Any] | DataError]:
    """The rows of a CSV with a header; a row that does not fit the header is given as an error.

    Args:
        names: the columns of a file without a header.
        room: for the rows, if several files share it; it counts this file already.

    Raises:
        DataError: the file is no CSV in UTF-8; the message names the line.
    """
    csv.field_size_limit(LARGEST)
    room = room or Room(str(path), path)
    raw = os.fdopen(foreign.opened(path.resolve()), "rb")
    with io.TextIOWrapper(raw, encoding="utf-8-sig", newline="") as file:
        source = _Lines(file, path)
        reader = csv.reader(source, delimiter=delimiter, strict=True)
        try:
            header = list(names or next(reader, ()))
            if len({*header}) < len(header):
                [twice, *_] = (name for name, count in Counter(header).items() if count > 1)
                raise DataError(f"{path}: the header has the column {twice[:40]!r} twice")
            if len(header) == 1 and delimiter == "," and ";" in header[0]:
                raise DataError(f"{path}: the header is one column, {header[0][:80]!r}; separate cells by ','")
            for cells in reader:
                if not room.take(source.size, len(cells)):
                    room.cut(os.fstat(raw.fileno()).st_size - raw.tell())
                    return
                source.size = 0
                if len(cells) == len(header):
                    yield dict(zip(header, cells, strict=True))
                elif cells:
                    yield DataError(
                        f"line {reader.line_num} has {len(cells)} cells and the header {len(header)}; quote a cell "
                        f"that contains {delimiter!r}"
                    )
        except csv.Error as error:
            raise DataError(f"{path}:{reader.line_num}: {error}; correct the quotes of this row") from error
        except UnicodeDecodeError as error:
            raise DataError(f"{path}:{reader.line_num + 1} or later: not UTF-8 text; save it as UTF-8") from error


class _Lines(Iterator[str]):
    """The lines of a file, as long as a row takes no more than LARGEST of them together."""

    def __init__(self, file: TextIO, path: Path) -> None:
        self.file, self.path, self.size = file, path, 0

    def __next__(self) -> str:
        line = self.file.readline(LARGEST + 1)
        self.size += len(line)
        if self.size > LARGEST:
            raise DataError(f"{self.path}: a row of more than 1 MB; an open quote makes one, too")
        if not line:
            raise StopIteration
        return line


def json_rows(
    path: Path,
    option: str,
    may_be_whole: bool,
    field: str | None = None,
    room: Room | None = None,
    packed: bool = False,
) -> Iterator[dict[str, Any] | DataError]:
    """The rows of a JSON file: an object on each line, a list of objects, or an object of columns.

    Args:
        option: the option that names the file, for messages.
        may_be_whole: the file may be one JSON value, as the suffix .json says.
        field: the key of the object that holds the rows.
        room: for the rows, if several files share it; it counts this file already.
        packed: the file is packed by gzip; then it has an object on each line.

    Raises:
        DataError: the file is not such JSON.
    """
    if may_be_whole and not packed and (field or not _by_lines(path, option)):
        room = room or Room(str(path), path)
        raw = foreign.content(path.resolve(), min(WHOLE, 1_000_000 * room.all // BYTE))
        found = json_of(raw, Written)
        rows = _listed(found.get(field) if field and isinstance(found, dict) else found, path)
        each = len(raw) // max(1, len(rows))  # one value, so it is read whole, in a look too
        for number, row in enumerate(rows):
            if not room.take(each):
                room.cut(len(raw) * (1 - number / len(rows)))
                return
            yield row
        return
    for number, line in lines(path, option, room, packed):
        try:
            yield values_of(line, Written)
        except DataError as error:
            yield DataError(f"line {number}: {error}")


def _by_lines(path: Path, option: str) -> bool:
    """Whether a file has an object on each of several lines, as far as the first two tell."""
    begin = [line for _, line in itertools.islice(lines(path, option, Room(str(path), path)), 2)]
    return len(begin) == 2 and all(len(line) > LARGEST or isinstance(_try(line), dict) for line in begin)


def _try(line: bytes) -> Any:
    try:
        return json_of(line)
    except DataError:
        return {}


def _listed(found: Any, path: Path) -> list[dict[str, Any] | DataError]:
    if isinstance(found, dict):
        columns = {name: value for name, value in found.items() if isinstance(value, list)}
        if len(columns) < len(found) or len({len(value) for value in columns.values()}) != 1:
            raise DataError(f"{path} is one JSON object; write a list of objects, or an object on each line")
        found = [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]
    if not isinstance(found, list):
        raise DataError(f"{path} is not JSON; write a list of objects, or an object on each line")
    return [row if isinstance(row, dict) else DataError("not a JSON object") for row in found]
