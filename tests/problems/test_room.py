"""How much memory data may take."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from selfimprove.errors import DataError, RecipeError
from selfimprove.problems.csv_rows import csv_rows, json_rows
from selfimprove.problems.hub_rows import Source, table
from selfimprove.problems.jsonl_rows import lines
from selfimprove.problems.room import Room


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SELFIMPROVE_DATA_MB", "1")


def test_rows_bytes_and_values_are_counted() -> None:
    room = Room("data.jsonl")
    for _ in range(498):
        room.take(0)
    room.take(100, 8)  # 498 * 2,000 + 2,000 + 100 * 12 + 8 * 100 = 1,000,000
    with pytest.raises(DataError, match=r"data\.jsonl takes more than 1 MB in memory.*SELFIMPROVE_DATA_MB=10"):
        room.take(0)


@pytest.mark.parametrize("said", ["", "x", "-1", "1e3", "9" * 20, "\u0661"])
def test_what_is_no_number_of_megabytes(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SELFIMPROVE_DATA_MB", said)
    with pytest.raises(RecipeError, match="must be a number of megabytes"):
        Room("x")


@pytest.mark.long
def test_each_kind_of_file_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_a_cell_without_an_end_is_refused_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SELFIMPROVE_DATA_MB", "400")
    for name, text in (("quote", 'q,a\n1,"' + "x\n" * 600_000), ("line", "q,a\n" + "x" * 1_100_000)):
        (tmp_path / f"{name}.csv").write_text(text)
        with pytest.raises(DataError, match="a row of more than 1 MB"):
            list(csv_rows(tmp_path / f"{name}.csv"))
