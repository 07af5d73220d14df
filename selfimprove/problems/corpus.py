"""The texts of a corpus, one at a time: rows of tables, text files, or a data set of the hub. Not a method.

Files are read by the readers of the tasks with data, with the same limits; what is read is not kept, so a corpus may be
larger than memory. Parquet and Arrow are read a file at a time.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from selfimprove import foreign
from selfimprove.errors import DataError, MissingError
from selfimprove.problems import packed_rows
from selfimprove.problems.cells import clean, pick, places
from selfimprove.problems.csv_rows import csv_rows, json_rows
from selfimprove.problems.data_folder import check_file, check_folder
from selfimprove.problems.hub_rows import KINDS, Source, is_id, table
from selfimprove.problems.jsonl_rows import LARGEST, check_link
from selfimprove.problems.room import Passing, Room

TEXTS = (".txt", ".md")
"""Suffixes of the files of a folder that are one document each."""
PACKED = (".jsonl.gz", ".json.gz")
"""Endings of packed files that are unpacked while they are read."""
_COLUMN = re.compile(r"\{([^{}]+)\}")


@dataclass
class Corpus:
    """Texts by their places; what was left out is counted in `counts` while they are read."""

    option: str
    """The method that names it, for messages: `acquisition.corpus`."""
    path: str
    text: str = "{text}"
    """What a row gives: columns in braces, as `cells.pick` takes them, and what stands between them."""
    split: str = "train"
    config: str | None = None
    revision: str | None = None
    skip_bad: int = 0
    """Rows that may be left out because they cannot be read; one more is an error."""
    counts: Counter[str] = field(default_factory=Counter)
    """`read` rows or parts, `blank` ones without a text, `skipped` ones that cannot be read."""

    def __iter__(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Each text that is not blank, without control characters, and where it stands: `file` and `row`, or `part`.

        Raises:
            UserError: the corpus is missing, no text, or has more bad rows than are allowed.
        """
        for found, place in self._found():
            self.counts["read"] += 1
            try:
                if isinstance(found, DataError):
                    raise found
                text = found if isinstance(found, str) else self._text_of(found)
            except DataError as error:
                self.counts["skipped"] += 1
                if (n := self.counts["skipped"]) > self.skip_bad:
                    said = ", ".join(f"{name} {value}" for name, value in place.items())
                    way = f" (correct it, or allow {n} with {self.option}.skip_bad={n})" if self.skip_bad else ""
                    raise DataError(f"{self.path}, {said}: {error}{way}") from error
                continue
            if text := clean(text.replace("\r\n", "\n")).strip():
                yield text, place
            else:
                self.counts["blank"] += 1

    def _found(self) -> Iterator[tuple[str | dict[str, Any] | DataError, dict[str, Any]]]:
        local, option = Path(self.path).expanduser(), f"{self.option}.path"
        if local.is_dir():
            yield from self._of_folder(local, option)
        elif local.exists():
            yield from self._of_file(local, option, {})
        elif is_id(self.path):
            rows = table(Source(self.option, self.path, self.config, self.split, self.revision))
            yield from ((row, {"row": number}) for number, row in enumerate(rows))
        else:
            raise MissingError(f"{option}: no file {local}")

    def _of_folder(self, folder: Path, option: str) -> Iterator[tuple[Any, dict[str, Any]]]:
        """The texts of the files in a folder, in the order of their names; a text file is one document."""
        check_folder(folder, option, unpacked=PACKED)
        if (folder / "state.json").exists() or (folder / "dataset_dict.json").exists():
            rows = table(Source(self.option, str(folder), self.config, self.split, None))
            yield from ((row, {"row": number}) for number, row in enumerate(rows))
            return
        known = (*TEXTS, *KINDS, *PACKED)
        files = sorted(one for one in folder.rglob("*") if one.is_file() and one.name.lower().endswith(known))
        if not files:
            raise DataError(f"{option}: {folder} holds no files with texts: {', '.join(known)}")
        for file in files:
            place = {"file": str(file.relative_to(folder))}
            if file.suffix.lower() in TEXTS:
                try:
                    yield foreign.content(file.resolve(), LARGEST).decode("utf-8-sig"), place
                except (DataError, UnicodeDecodeError) as error:
                    yield DataError(str(error)), place
            else:
                yield from self._of_file(file, option, place)

    def _of_file(self, file: Path, option: str, place: dict[str, Any]) -> Iterator[tuple[Any, dict[str, Any]]]:
        name, room = file.name.lower(), Passing(str(file), file)
        kind = "json" if name.endswith(PACKED) else KINDS.get(file.suffix.lower())
        if kind is None:
            yield from ((part, {**place, "part": number}) for number, part in enumerate(_parts(file, option)))
            return
        packed = name.endswith(PACKED)
        if not packed:
            check_file(file, option, kind)
        if kind == "json":
            rows = json_rows(file, option, file.suffix.lower() == ".json", room=room, packed=packed)
        elif kind == "csv":
            rows = csv_rows(file, "\t" if name.endswith(".tsv") else ",", room=room)
        else:
            rows = packed_rows.rows([file], room)
        yield from ((row, {**place, "row": number}) for number, row in enumerate(rows))

    def rows(self, file: Path) -> Iterator[Any]:
        """The rows of one file as they are: values by column, an error where one cannot be read, or parts of a text."""
        yield from (row for row, _ in self._of_file(file, f"{self.option}.path", {}))

    def _text_of(self, row: Mapping[str, Any]) -> str:
        """The text of a row; a null is blank."""
        return _COLUMN.sub(lambda found: _cell(row, found[1]), self.text)


def _cell(row: Mapping[str, Any], column: str) -> str:
    try:
        value = pick(row, column)
    except DataError as error:
        raise DataError(f"it must have a text in a column `{column}`; it has {', '.join(places(row))}") from error
    if value is not None and not isinstance(value, str):
        raise DataError(f"it must have a text in a column `{column}`, not {type(value).__name__}")
    return value or ""


def _parts(file: Path, option: str) -> Iterator[str]:
    """The parts of a text file between empty lines."""
    check_link(file, option)
    part, size = list[str](), 0
    try:
        for line in foreign.lines(file.resolve(), LARGEST):
            if line.strip(b"\r\n"):
                size += len(line)
                if size > LARGEST:
                    raise DataError(f"{file}: a part of more than 1 MB; separate documents by empty lines")
                part.append(line.decode("utf-8-sig" if not part else "utf-8"))
            else:
                yield from ["".join(part)] if part else []
                part, size = [], 0
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file} cannot be read as text: {error}") from error
    yield from ["".join(part)] if part else []


# ---- pages with links ----------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Page:
    """A page of a local link graph."""

    url: str
    text: str
    links: tuple[str, ...]
    info: dict[str, Any]
    """Notes: `planted`, if the row has it."""


def pages(path: str, option: str) -> dict[str, Page]:
    """The pages of a table with the columns url, text and links, by url; all are kept, within the room for data.

    Raises:
        UserError: it is missing, or a row is no page.
    """
    local, made, room = Path(path).expanduser(), dict[str, Page](), Room(path)
    if not local.is_file():
        raise MissingError(f"{option}.path: no file {local}")
    source = Corpus(option, path)
    for number, row in enumerate(source.rows(local)):
        place = f"{path}, row {number}"
        if isinstance(row, DataError):
            raise DataError(f"{place}: {row}") from row
        if not isinstance(row, dict) or not isinstance(url := row.get("url"), str):
            raise DataError(f"{place}: a page has a `url`, a `text` and `links`, a list of urls")
        links, text = row.get("links") or [], row.get("text") or ""
        if not isinstance(links, list) or not all(isinstance(one, str) for one in links) or not isinstance(text, str):
            raise DataError(f"{place}: `text` must be a text, and `links` a list of urls")
        room.take(len(text) + sum(map(len, links)), len(links))
        if text := clean(text).strip():
            info = {"planted": row["planted"]} if isinstance(row.get("planted"), str) else {}
            made[url] = Page(url, text, tuple(links), info)
    return made
