"""The rows of a pool as they stand in its file, one at a time: JSON lines, also packed by gzip, Parquet, or texts.

What is read is not kept, so a pool may be larger than memory. A row of JSON lines keeps its very bytes; a row of a
table becomes a line of JSON, and so does a text file of a folder, which has the columns `file` and `text`.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

from selfimprove import foreign
from selfimprove.errors import DataError, MissingError
from selfimprove.problems import table_worker
from selfimprove.problems.data_folder import check_folder
from selfimprove.problems.jsonl_rows import LARGEST, beginning, check_kind, check_link
from selfimprove.safety.limited import MEMORY, environment

TEXTS = (".txt", ".md")
"""Suffixes of the text files of a folder."""
ENDINGS = (".jsonl", ".json", ".ndjson", ".jsonl.gz", ".json.gz", ".parquet", ".arrow")
"""How the files of a pool end; any other file counts as JSON lines too."""
_MOST = 10**9
"""Rows, and kilobytes, that a table may have."""


def raw(path: Path, option: str) -> Iterator[bytes]:
    """The rows of a pool, each as one line of JSON without its end; blank lines are left out.

    A row of more than LARGEST bytes comes cut off, so that whoever parses it refuses it.

    Args:
        option: what names the file, for messages.

    Raises:
        MissingError: there is no such file.
        DataError: it is of another kind, damaged, or a link to another place.
    """
    path = path.expanduser()
    if path.is_dir():
        yield from _texts(path, option)
        return
    if not path.exists():
        raise MissingError(f"{option}: the file {path} does not exist")
    check_link(path, option)
    start = beginning(path) if path.is_file() else b""
    if start.startswith((b"PAR1", b"ARROW1")) or path.suffix.lower() in (".parquet", ".arrow"):
        yield from _table(path.resolve(), option)
    elif start.startswith(b"\x1f\x8b"):
        yield from _packed(path.resolve(), option)
    else:
        check_kind(path, option)
        with os.fdopen(foreign.opened(path.resolve()), "rb") as file:
            yield from _lines(file)


def _lines(file: gzip.GzipFile | object) -> Iterator[bytes]:
    readline = file.readline  # pyright: ignore[reportAttributeAccessIssue]
    while line := readline(LARGEST + 2):
        first = line
        while line and not line.endswith(b"\n"):
            line = readline(LARGEST)
        if first.strip():
            yield first.rstrip(b"\r\n")


def _packed(path: Path, option: str) -> Iterator[bytes]:
    try:
        with os.fdopen(foreign.opened(path), "rb") as file, gzip.GzipFile(fileobj=file) as unpacked:
            yield from _lines(unpacked)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{option}: {path} is damaged: {error}") from error


def _table(path: Path, option: str) -> Iterator[bytes]:
    """The rows of a Parquet or Arrow file, which a process of little memory unpacks."""
    seconds = 60 + path.stat().st_size // 100_000
    command = [sys.executable, "-P", str(table_worker.__file__), str(seconds), str(2 * MEMORY), str(1000 * _MOST)]
    given = json.dumps([[str(path)], _MOST, _MOST, 1000 * _MOST]).encode()
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment()
    ) as worker:
        assert worker.stdin is not None and worker.stdout is not None
        try:
            worker.stdin.write(given)
            worker.stdin.close()
            for line in worker.stdout:
                if not line.startswith(b"{"):
                    said = json.loads(line)
                    raise DataError(
                        f"{option}: {path} cannot be read: {said if isinstance(said, str) else 'too large'}"
                    )
                yield line.rstrip(b"\n")
        finally:
            with contextlib.suppress(ProcessLookupError):
                worker.kill()
    if worker.returncode not in (0, -9):
        raise DataError(f"{option}: {path} takes more than {2 * MEMORY >> 30} GiB or {seconds} seconds to unpack")


def _texts(folder: Path, option: str) -> Iterator[bytes]:
    """A row for each text file of a folder, in the order of their names."""
    check_folder(folder, option)
    files = sorted(one for one in folder.rglob("*") if one.is_file() and one.suffix.lower() in TEXTS)
    if not files:
        raise DataError(f"{option}: {folder} holds no text files ({', '.join(TEXTS)}); name a file of rows")
    for file in files:
        try:
            text = foreign.content(file.resolve(), LARGEST).decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise DataError(f"{option}: {file} is not UTF-8 text: {error.reason} at byte {error.start}") from error
        yield json.dumps({"file": str(file.relative_to(folder)), "text": text}, ensure_ascii=False).encode()
