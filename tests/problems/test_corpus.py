"""Texts of a corpus: one form of file or another, the same texts; what cannot be read is counted or refused in a line."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from selfimprove.errors import DataError, MissingError, UserError
from selfimprove.problems.corpus import Corpus

TEXTS = ["the first\nof two lines", "cafe\u0301 \u2192 2\u00b3", "third"]


def _jsonl(path: Path) -> Path:
    path.write_text("".join(json.dumps({"text": text, "n": 1}) + "\n" for text in TEXTS))
    return path


def _gz(path: Path) -> Path:
    with gzip.open(path, "wt") as file:
        file.write("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    return path


def _csv(path: Path) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["text"], *([text] for text in TEXTS)])
    return path


def _parquet(path: Path) -> Path:
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(pyarrow.table({"text": TEXTS}), path)
    return path


def _parts(path: Path) -> Path:
    path.write_text("\n\n\n".join(TEXTS) + "\n")
    return path


def _folder(path: Path) -> Path:
    path.mkdir()
    for number, text in enumerate(TEXTS):
        (path / f"{number}.txt").write_text(text)
    return path


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("a.jsonl", _jsonl),
        ("a.jsonl.gz", _gz),
        ("a.csv", _csv),
        ("a.parquet", _parquet),
        ("a.txt", _parts),
        ("a", _folder),
    ],
)
def test_every_form_of_file_gives_the_same_texts(tmp_path: Path, name: str, write: Callable[[Path], Path]) -> None:
    corpus = Corpus("acquisition.corpus", str(write(tmp_path / name)))
    assert [text for text, _ in corpus] == TEXTS and corpus.counts["read"] == 3
    assert len({json.dumps(place) for _, place in corpus}) == 3


def test_shards_of_a_folder_are_read_one_after_the_other_packed_ones_too(tmp_path: Path) -> None:
    _jsonl(tmp_path / "b.jsonl")
    _gz(tmp_path / "a.jsonl.gz")
    found = [(text, place["file"], place["row"]) for text, place in Corpus("x", str(tmp_path))]
    assert found == [(t, f, n) for f in ("a.jsonl.gz", "b.jsonl") for n, t in enumerate(TEXTS)]


def test_columns_are_declared_and_what_is_inside_of_others_too(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(
        json.dumps({"title": "T", "body": {"en": "B\r\nC\u0007"}}) + "\n" + json.dumps({"title": None, "body": None})
    )
    assert [text for text, _ in Corpus("x", str(path), "{title}\n{body.en}")] == ["T\nB\nC"]


def test_bad_and_empty_rows_are_counted_and_too_many_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "good"}\n{"words": 1}\n{"text": ""}\n[]\n')
    corpus = Corpus("acquisition.corpus", str(path), skip_bad=2)
    assert [text for text, _ in corpus] == ["good"]
    assert corpus.counts == {"read": 4, "skipped": 2, "blank": 1}
    with pytest.raises(DataError, match=r"a.jsonl, row 3: .*allow 2 with acquisition.corpus.skip_bad=2"):
        list(Corpus("acquisition.corpus", str(path), skip_bad=1))


@pytest.mark.parametrize(
    ("name", "content", "kind", "said"),
    [
        ("a.jsonl.gz", b"\x1f\x8b\x08\x00broken", DataError, "cannot be unpacked"),
        ("b.jsonl.gz", b"no gzip at all", DataError, "cannot be unpacked"),
        ("a.csv", b"PK\x03\x04", DataError, "zip archive"),
        ("a.parquet", b"PAR1 nothing", DataError, "cannot be read"),
        ("a.txt", b"\xff\xfe\x00", DataError, "cannot be read as text"),
        ("c.txt", b"x" * 1_000_001, DataError, "more than 1"),
        ("gone.jsonl", None, MissingError, "no file"),
    ],
)
def test_files_that_cannot_be_read(tmp_path: Path, name: str, content: bytes | None, kind: type, said: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(kind, match=said):
        list(Corpus("x", str(tmp_path / name)))


def test_a_packed_row_of_any_size_is_cut_off_before_it_fills_the_memory(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "bomb.jsonl.gz", "wb", compresslevel=1) as file:
        file.write(b'{"text": "' + b"a" * 3_000_000 + b'"}\n')
    with pytest.raises(DataError, match="more than 1 MB"):
        list(Corpus("x", str(tmp_path / "bomb.jsonl.gz")))


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "a.txt").symlink_to(tmp_path / "secret.txt")
    with pytest.raises(UserError, match="link"):
        list(Corpus("x", str(tmp_path / "corpus")))
