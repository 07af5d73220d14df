"""How much memory data may take."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import pytest

from selfimprove.errors import DataError, RecipeError
from selfimprove.methods.task.jsonl import JsonlTask
from selfimprove.problems import room as rooms
from selfimprove.problems.csv_rows import csv_rows, json_rows
from selfimprove.problems.hub_rows import Source, table
from selfimprove.problems.jsonl_rows import lines
from selfimprove.problems.room import Room, first_look, scaled, share


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SELFIMPROVE_DATA_MB", "1")


@pytest.fixture
def usual(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing said."""
    monkeypatch.delenv("SELFIMPROVE_DATA_MB", raising=False)


def test_rows_bytes_and_values_are_counted(small: None) -> None:
    room = Room("data.jsonl")
    for _ in range(498):
        assert room.take(0)
    assert room.take(100, 8)  # 498 * 2,000 + 2,000 + 100 * 12 + 8 * 100 = 1,000,000
    with pytest.raises(DataError, match=r"data\.jsonl takes more than 1 MB in memory, .*SELFIMPROVE_DATA_MB=100"):
        room.take(0)


def test_lines_without_a_row_count_a_little(small: None, tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text('{"a": 1}\n' + "\n" * 9000 + '{"a": 2}\n')
    assert [number for number, _ in lines(tmp_path / "x.jsonl", "o")] == [1, 9002]
    (tmp_path / "x.jsonl").write_text("\n" * 10_001)
    with pytest.raises(DataError, match="takes more than 1 MB"):
        list(lines(tmp_path / "x.jsonl", "o"))


@pytest.mark.parametrize("said", ["", "x", "-1", "1e3", "9" * 20, "\u0661"])
def test_what_is_no_number_of_megabytes(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SELFIMPROVE_DATA_MB", said)
    with pytest.raises(RecipeError, match="must be a number of megabytes"):
        Room("x")


@pytest.mark.parametrize(
    ("held", "hole", "most"),
    [
        (46_000, 0, "4,500"),  # packed: nobody knows
        (100_000_000, 0, "1,400"),  # a third of it was read
        (0, 1 << 40, "4,500"),  # a hole is nothing
    ],
)
def test_a_refusal_says_how_much_all_of_it_would_take(
    held: int, hole: int, most: str, tmp_path: Path, usual: None
) -> None:
    with (tmp_path / "x").open("wb") as file:
        if held:
            os.posix_fallocate(file.fileno(), 0, held)
        file.truncate(hole or held)
    room = Room("x", tmp_path / "x")
    said = (
        rf"x takes more than 400 MB in memory, about {most} MB in all; .*SELFIMPROVE_DATA_MB={most.replace(',', '')}$"
    )
    with pytest.raises(DataError, match=said):
        room.take(33_333_333)


@pytest.mark.parametrize(
    ("line", "weight"),
    [
        (b'{"prompt": "abc"}', 17),
        ('{"prompt": "\u00e9"}'.encode(), 30),  # 15 characters of two bytes
        ('"' + "\U0001f600" + "a" * 97 + '"', 200),
        ('"' + "\ufdfa" * 10 + '"', 364),  # a ligature of 18 letters
        (rb'"\ufdfa"', 16),
    ],
)
def test_letters_that_take_more_memory_than_the_file_weigh_more(line: str | bytes, weight: int) -> None:
    assert rooms._weight(line.encode() if isinstance(line, str) else line) == weight


def test_a_look_reads_the_beginning_and_scales_what_it_counts(
    tmp_path: Path, usual: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rooms, "LOOK", 1)
    path = tmp_path / "x.jsonl"
    rows = [{"prompt": f"What is {i:05} + 1?", "answer": str(i % 10)} for i in range(2000)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with first_look():
        task = JsonlTask(path=str(path))
        sizes, part = task.preflight()  # 48 bytes with 2 values: 2,776 bytes of memory, so 360 rows
        read = sum(len(task.problems(split, None, 0)) for split in ("train", "selection", "gate", "audit", "sealed"))
        assert (read, round(share(), 3)) == (360, 0.18)
        assert part == f"{path}: only the first 18.0% is looked at here; a run reads all of it"
        assert task.size("train") == scaled(len(task.problems("train", None, 0))) > 1000
        assert sizes.startswith(f"{path}: ")
    assert share() == 1
    assert len([*lines(path, "o")]) == 2000


def test_a_look_refuses_what_will_not_fit(tmp_path: Path, usual: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rooms, "LOOK", 1)
    monkeypatch.setattr(rooms, "ALWAYS", 1)
    (tmp_path / "x.jsonl").write_text("{}\n" * 30_000)  # 2,136 bytes of memory for three on the disk
    with first_look(), pytest.raises(DataError, match=r"more than 1 MB in memory, about 100 MB in all"):
        list(lines(tmp_path / "x.jsonl", "o"))


@pytest.mark.long
def test_each_kind_of_file_is_bounded(tmp_path: Path, small: None, monkeypatch: pytest.MonkeyPatch) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    made = {"prompt": ["What is 1 + 1?"] * 600, "answer": ["2"] * 600}
    written = [dict(zip(made, row, strict=True)) for row in zip(*made.values(), strict=True)]
    parquet.write_table(pyarrow.table(made), tmp_path / "x.parquet")
    with (tmp_path / "x.csv").open("w", newline="") as file:
        csv.writer(file).writerows([[*made], *(row.values() for row in written)])
    (tmp_path / "x.jsonl").write_text("".join(json.dumps(row) + "\n" for row in written))
    (tmp_path / "x.json").write_text(json.dumps(written))
    source = Source("task.hub", str(tmp_path / "x.parquet"), None, "train", None)
    readers = (
        lambda: [*table(source)],
        lambda: [*csv_rows(tmp_path / "x.csv")],
        lambda: [*json_rows(tmp_path / "x.json", "o", True)],
        lambda: [*lines(tmp_path / "x.jsonl", "mark")],
    )
    for read in readers:
        with pytest.raises(DataError, match="takes more than 1 MB in memory"):
            read()
    monkeypatch.setenv("SELFIMPROVE_DATA_MB", "100")
    assert [len(read()) for read in readers] == [600] * 4
    assert readers[0]() == readers[1]() == readers[2]() == written
    monkeypatch.setattr(rooms, "LOOK", 1)
    for read in readers:
        with first_look():
            assert 0.5 < len(read()) / 600 < 0.9
            assert share() == pytest.approx(len(read()) / 600, abs=0.1)


def test_a_cell_without_an_end_is_refused_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SELFIMPROVE_DATA_MB", "400")
    for name, text in (("quote", 'q,a\n1,"' + "x\n" * 600_000), ("line", "q,a\n" + "x" * 1_100_000)):
        (tmp_path / f"{name}.csv").write_text(text)
        with pytest.raises(DataError, match="a row of more than 1 MB"):
            list(csv_rows(tmp_path / f"{name}.csv"))
