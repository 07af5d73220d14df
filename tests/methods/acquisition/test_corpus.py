"""Documents from files: which ones are taken depends on what they say, not on where they stand."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from selfimprove.errors import DataError, MissingError
from selfimprove.methods.acquisition.corpus import Corpus


def _write(path: Path, texts: list[str]) -> str:
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return str(path)


TEXTS = [f"document number {n}" for n in range(40)]


def test_the_order_of_rows_changes_nothing_but_where_a_document_stood(tmp_path: Path, make_context: Callable) -> None:
    given = make_context()
    made: list[Any] = []
    for name, texts in (("a", TEXTS), ("b", TEXTS[::-1])):
        path = _write(tmp_path / f"{name}.jsonl", texts)
        made.append(Corpus(path=path, documents=15).acquire([], given))
    one, other = made
    assert [d.text for d in one] == [d.text for d in other] and len({d.text for d in one}) == 15
    assert {d.info["row"] + e.info["row"] for d, e in zip(one, other, strict=True)} == {39}
    later: Any = Corpus(path=path, documents=15).acquire([], replace(given, seed=given.seed + 1))
    assert {d.text for d in later} != {d.text for d in one}


def test_equal_texts_stay_and_are_normalized(tmp_path: Path, make_context: Callable) -> None:
    path = _write(tmp_path / "a.jsonl", ["cafe\u0301", " caf\u00e9\n", "", "b\u0000"])
    given = make_context()
    made: Any = Corpus(path=path).acquire([], given)
    assert sorted(d.text for d in made) == ["b", "caf\u00e9", "caf\u00e9"] and len({d.id for d in made}) == 3
    assert given.log.metrics["corpus/blank"] == 1 and given.log.metrics["corpus/read"] == 4
    assert given.log.notes == [f"{path}: 1 of 4 have no text or cannot be read"]


def test_what_is_missing_or_empty_is_told_before_a_run(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"acquisition.corpus.path: no file"):
        Corpus(path=str(tmp_path / "none.jsonl")).preflight()
    with pytest.raises(DataError, match="contains no document"):
        Corpus(path=_write(tmp_path / "a.jsonl", ["", " "])).preflight()
    assert Corpus(path=_write(tmp_path / "b.jsonl", ["", "x"])).preflight() == []
