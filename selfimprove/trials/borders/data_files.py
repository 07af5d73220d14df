"""Files and folders of data from a stranger: read as problems, or refused by one line; nothing beside them is read.

Rows of a few forms are spoiled: values, keys, quotes, encodings, brackets, sizes, names; then the file is read as each
task and command does that names it. A file beside them holds a secret that no message may show.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import json
import lzma
import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from selfimprove.errors import UserError
from selfimprove.methods.acquisition import documents
from selfimprove.methods.task.hub import Hub
from selfimprove.methods.task.jsonl import JsonlTask
from selfimprove.problems import jsonl_rows
from selfimprove.problems.hub_rows import Source
from selfimprove.problems.hub_rows import table as table_of
from selfimprove.trials import fuzz

CODES = (2, 65, 66, 74)
SECRET = "the-key-is-1234"
VALUES: list[Any] = [
    *(None, True, 0, -1, 10**30, 0.5, 1e308, "", " ", "x", "a\x00b", "\x1b[31m", "\u202e", "9" * 5000, "\ud800"),
    *([], [[]], {}, {"a": {}}, ["x"], [{"role": "user", "content": "x"}], [{"role": "tool", "content": "x"}]),
    *([{"from": "human", "value": "x"}, {"from": "gpt", "value": "y"}], [{"role": "user", "content": [1]}], "[" * 900),
]
BYTES = [
    *(b"\xff", b"\x00", b"\xef\xbb\xbf", b"\xff\xfe", b"NaN", b"Infinity", b"1e999", b"-", b'"', b"'", b"\\"),
    *(b"\\ud800", b"[" * 20_000, b'{"a":' * 5000, b"9" * 5000, b"\r", b"\n", b"\n\n", b",", b";", b"\t", b"{"),
    *(b"}", b"x" * 1_100_000, b"PAR1", b"PK\x03\x04", b"\x1f\x8b\x08", b"BZh9", b"\x80\x04."),
]
"""What is put anywhere into a file."""


def rows(draw: random.Random) -> list[dict[str, Any]]:
    """A few rows, some of them odd."""
    made = [
        {"prompt": f"What is {i} + {draw.randrange(99)}?", "answer": str(i)} for i in range(draw.choice([0, 1, 8, 40]))
    ]
    for _ in range(draw.choice([0, 0, 1, 2])):
        if made:
            made[draw.randrange(len(made))][draw.choice(["prompt", "answer", "text", "x", ""])] = draw.choice(VALUES)
    return made


def text(kind: str, made: list[dict[str, Any]], draw: random.Random) -> bytes:
    """Rows as a file of a kind, with a few bytes changed."""
    if kind in (".csv", ".tsv"):
        mark = "," if kind == ".csv" else "\t"
        lines = [mark.join(['"' + str(cell).replace('"', '""') + '"' for cell in row.values()]) for row in made]
        said = "\n".join([mark.join(["prompt", "answer"]), *lines, ""])
    else:
        said = json.dumps(made) if kind == ".json" else "".join(json.dumps(row) + "\n" for row in made)
    raw = said.encode(errors="surrogatepass")
    for _ in range(draw.choice([0, 0, 1, 2])):
        at = draw.randrange(len(raw) + 1)
        raw = raw[:at] + draw.choice([*BYTES, b""]) + raw[at + draw.choice([0, 0, 1, 9]) :]
    return raw


def table(path: Path, made: list[dict[str, Any]], draw: random.Random) -> None:
    """Rows as Parquet or Arrow, with a few bytes changed."""
    import pyarrow
    from pyarrow import ipc, parquet

    count = draw.choice([1, 5, 5, 300_000])
    kinds = [pyarrow.array(cells) for cells in (["What is 1 + 1?"] * 5, [[1]] * 5, [b"x"] * 5, [None] * 5)]
    given = pyarrow.table({"prompt": draw.choice(kinds), "answer": draw.choice(kinds)})
    given = pyarrow.concat_tables([given] * (count // 5 or 1)).combine_chunks()
    if path.suffix == ".parquet":
        parquet.write_table(given, path, compression="zstd")
    else:
        with pyarrow.OSFile(str(path), "wb") as file, ipc.new_stream(file, given.schema) as writer:
            writer.write_table(given)
    raw = path.read_bytes()
    for _ in range(draw.choice([0, 0, 1, 3])):
        at = draw.randrange(len(raw))
        raw = raw[:at] + draw.choice([bytes([draw.randrange(256)]), b"", b"\xff" * 4, b"\0" * 9]) + raw[at + 1 :]
    path.write_bytes(raw)


def _hole(path: Path, outside: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)


def _card(said: str) -> Callable[[Path, Path], object]:
    text = f"---\nconfigs:\n- config_name: default\n  data_files: {said}\n---\n"
    return lambda path, outside: (path.parent / "README.md").write_text(text.replace("OUTSIDE", str(outside)))


ODD: dict[str, Callable[[Path, Path], object]] = {
    "pipe": lambda path, outside: os.mkfifo(path),
    "link": lambda path, outside: path.symlink_to(outside / "secret.jsonl"),
    "linked folder": lambda path, outside: path.symlink_to(outside),
    "circle": lambda path, outside: path.symlink_to(path.name),
    "device": lambda path, outside: path.symlink_to("/dev/zero"),
    "folder": lambda path, outside: path.mkdir(),
    "hole": _hole,
    "gzip": lambda path, outside: path.write_bytes(gzip.compress(b"0" * 9_000_000)),
    "bzip2": lambda path, outside: path.with_name("b.jsonl.bz2").write_bytes(bz2.compress(b"0" * 900_000)),
    "xz": lambda path, outside: path.with_name("b.jsonl.xz").write_bytes(lzma.compress(b"0" * 900_000)),
    "absolute": _card("OUTSIDE/*.jsonl"),
    "upward": _card("../outside/secret.jsonl"),
    "address": _card("file://OUTSIDE/secret.jsonl"),
    "no card": _card("[" * 90),
    "state": lambda path, outside: (path.parent / "state.json").write_text(
        json.dumps({"_data_files": [{"filename": "../outside/secret.jsonl"}]})
    ),
    "splits": lambda path, outside: (path.parent / "dataset_dict.json").write_text('{"splits": ["../outside"]}'),
}
"""What is put in the place of a file, or beside it."""


def _read(place: Path, draw: random.Random, whole: bool) -> str:
    """Read a file, or a folder, as data."""
    match draw.choice(["hub", "hub"] if whole else ["jsonl", "hub", "mark", "documents"]):
        case "jsonl":
            JsonlTask(path=str(place), skip_bad=draw.choice([0, 9])).problems("train", None, 0)
        case "hub":
            Hub(path=str(place), skip_bad=draw.choice([0, 9])).problems("train", None, 0)
        case "mark":
            for _, line in jsonl_rows.lines(place, "mark"):
                jsonl_rows.values_of(line)
        case _:
            documents._load(str(place))
    return "read"


@contextlib.contextmanager
def _open(scratch: Path) -> Iterator[fuzz.Try]:
    outside = scratch / "outside"
    outside.mkdir()
    (outside / "secret.jsonl").write_text(f"{SECRET}\n")
    first = scratch / "first"
    first.mkdir()
    (first / "train.jsonl").write_text('{"prompt": "x", "answer": "y"}\n')
    [_] = table_of(Source("task.hub", str(first), None, "train", None))  # the library loads for seconds, once

    def attempt(draw: random.Random) -> str:
        folder = scratch / "data"
        folder.mkdir()
        try:
            kind = draw.choice([".jsonl", ".jsonl", ".jsonl", ".json", ".csv", ".tsv", ".parquet", ".arrow", ".txt"])
            whole = draw.random() < 0.15
            path, way = folder / f"train{kind}", ""
            if draw.random() < 0.2:
                way = draw.choice([*ODD])
                ODD[way](path, outside)
            if not os.path.lexists(path):
                made = rows(draw)
                table(path, made, draw) if kind in (".parquet", ".arrow") else path.write_bytes(text(kind, made, draw))
            begin = path.read_bytes()[:400] if path.is_file() and way != "hole" else b""
            with fuzz.shown((path.name, way, begin)):
                try:
                    return _read(folder if whole else path, draw, whole)
                except UserError as error:
                    assert SECRET not in str(error), "a message shows what nobody has named"
                    return fuzz.refused(error, CODES)
        finally:
            shutil.rmtree(folder)

    yield attempt


BORDER = fuzz.Border(
    promise="data from a stranger is read or refused, and nothing beside it is read", open=_open, in_ci=60
)
