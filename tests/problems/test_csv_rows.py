"""Tables of text arrive as they stand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfimprove.errors import DataError
from selfimprove.problems.cells import reference_of
from selfimprove.problems.csv_rows import csv_rows, json_rows

CELLS = [
    "NA",
    "None",
    "null",
    "nan",
    "007",
    "1",
    "0.5",
    "1e5",
    "True",
    "9" * 26,
    "2024-01-01",
    "",
    " a ",
    "x,y",
    "a\nb",
]


def quoted(cells: list[str]) -> str:
    return ",".join('"' + cell.replace('"', '""') + '"' for cell in cells)


def test_every_cell_is_a_text(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("\ufeffq,a\r\n" + "".join(quoted([str(i), cell]) + "\r\n\r\n" for i, cell in enumerate(CELLS)))
    assert list(csv_rows(path)) == [{"q": str(i), "a": cell} for i, cell in enumerate(CELLS)]


@settings(max_examples=30)
@given(st.lists(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r\0")), min_size=2, max_size=2)))
def test_any_text_survives(tmp_path_factory: pytest.TempPathFactory, cells: list[list[str]]) -> None:
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    path.write_text("\n".join(map(quoted, [["q", "a"], *cells])) + "\n", encoding="utf-8", newline="")
    assert list(csv_rows(path)) == [dict(zip("qa", row, strict=True)) for row in cells]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("q,a\n1,2\n3\n", "line 3 has 1 cells and the header 2"),
        ("q,a\n1,2,3\n", "line 2 has 3 cells and the header 2; quote a cell that contains ','"),
        ("q,a,q\n1,2,3\n", "the column 'q' twice"),
        ("q;a\n1;2\n", "one column, 'q;a'; separate cells by ','"),
        ('q,a\n1,"2\n3,4\n', "a.csv:3: .*quotes"),
        ('q,a\n1,"2"3\n', "a.csv:2: .*quotes"),
        (b"q,a\n1,\xe4\n", "not UTF-8"),
        (b"\xff\xfeq\x00", "not UTF-8"),
    ],
)
def test_a_row_that_does_not_fit_is_named(text: str | bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(DataError, match=words):
        for row in csv_rows(path):
            if isinstance(row, DataError):
                raise row


ROWS = [{"a": "2024-01-01"}, {"a": 1}, {"a": "two"}, {"a": True}, {"a": None}, {"a": 10**26}, {"a": "NA"}]
TEXTS = ["2024-01-01", "1", "two", "true", None, "1" + 26 * "0", "NA"]


@pytest.mark.parametrize("form", ["lines", "list", "columns"])
def test_json_keeps_dates_and_mixed_types_in_every_form(form: str, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    whole: Any = ROWS if form == "list" else {"a": [row["a"] for row in ROWS]}
    path.write_text("\n".join(map(json.dumps, ROWS)) if form == "lines" else json.dumps(whole, indent=1))
    rows = list(json_rows(path, "task.hub.path", may_be_whole=True))
    assert [reference_of(row["a"], "a") for row in rows if isinstance(row, dict)] == TEXTS


def test_json_numbers_stay_as_written(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": 0.50}\n{"a": 1E5}\n{"a": 3.0000000000000000001}\n{"a": -0.0}\n')
    rows = list(json_rows(path, "task.hub.path", may_be_whole=False))
    texts = [reference_of(row["a"], "a") for row in rows if isinstance(row, dict)]
    assert texts == ["0.50", "1E5", "3.0000000000000000001", "-0.0"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"version": 1, "data": [{"a": 1}]}', "one JSON object"),
        ('[{"a": 1}, ', "is not JSON"),
        ('["a"]', "not a JSON object"),
        ('{"a": 1}\n{"a": NaN}\n', "line 2: NaN is not a JSON value"),
        ('{"a": 1}\n{"a": 1, "a": 2}\n', "line 2: key 'a' appears twice"),
        ('{"a": 1}\n{"a": ' + "9" * 5000 + "}\n", "line 2: .*a number of 5000 digits"),
    ],
)
def test_what_is_no_table_is_said(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(DataError, match=words):
        for row in json_rows(path, "task.hub.path", may_be_whole=True):
            if isinstance(row, DataError):
                raise row


def test_the_key_with_the_rows_can_be_named_by_the_data_set(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"version": 1, "data": [{"a": 1}]}')
    assert list(json_rows(path, "task.hub.path", True, "data")) == [{"a": 1}]
