"""Data folders of strangers: nothing outside the named folder is read, nothing is unpacked, nothing is waited for."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from selfimprove.errors import DataError, UserError
from selfimprove.problems.hub_rows import Source, table

ROWS = "".join(json.dumps({"prompt": f"What is {i}?", "answer": str(i)}) + "\n" for i in range(5))


def rows(path: Path, split: str = "train") -> list[Any]:
    return [*table(Source("task.hub", str(path), None, split, None))]


def card(said: str) -> Callable[[Path], object]:
    text = f"---\nconfigs:\n- config_name: default\n  data_files: {said}\n---\n"
    return lambda folder: (folder / "README.md").write_text(text)


def state(folder: Path, name: str = "state.json", **values: Any) -> None:
    (folder / name).write_text(json.dumps(values))


def hole(folder: Path) -> None:
    with (folder / "train.jsonl").open("wb") as file:
        file.truncate(1 << 40)


FOLDERS: dict[str, tuple[Callable[[Path], object], str]] = {
    "an absolute path": (card("/etc/*.jsonl"), "names '/etc/*.jsonl', which is not in the folder"),
    "a path upward": (card("../secret/*.jsonl"), "names '../secret/*.jsonl', which is not in the folder"),
    "an address": (card("[{split: train, path: 'https://example.org/x.jsonl'}]"), "is not in the folder"),
    "a file address": (card("{train: ['file:///etc/passwd']}"), "is not in the folder"),
    "an archive of the hub": (card("hf://datasets/a/b/x.jsonl"), "is not in the folder"),
    "another folder": (
        lambda folder: (folder / "README.md").write_text("---\nconfigs:\n- data_dir: ../secret\n---\n"),
        "is not in the folder",
    ),
    "a second card": (
        lambda folder: (folder / ".huggingface.yaml").write_text("configs:\n- data_files: /etc/passwd\n"),
        "is not in the folder",
    ),
    "a deep card": (card("[" * 3000), "too deep"),
    "a card of aliases": (card("&a [x]\n  other: [*a, *a]"), "uses aliases"),
    "a card that is no YAML": (card("{"), "is no YAML"),
    "a link": (lambda folder: (folder / "more.jsonl").symlink_to("../secret/rows.jsonl"), "is a link to"),
    "a linked folder": (lambda folder: (folder / "data").symlink_to("../secret"), "is a link to"),
    "a link in a circle": (lambda folder: (folder / "x.jsonl").symlink_to("x.jsonl"), "is a link in a circle"),
    "a pipe": (lambda folder: os.mkfifo(folder / "more.jsonl"), "is a named pipe, not a file"),
    "a packed file": (lambda folder: (folder / "b.jsonl.gz").write_bytes(gzip.compress(b"{}")), "is packed"),
    "a packed file by another name": (
        lambda folder: (folder / "train.jsonl").write_bytes(gzip.compress(ROWS.encode())),
        "is a gzip archive",
    ),
    "a hole": (hole, "is mostly a hole"),
    "a state of elsewhere": (
        lambda folder: state(folder, _data_files=[{"filename": "../secret/rows.arrow"}]),
        "names a file that is not in the folder",
    ),
    "a state of wrong types": (lambda folder: state(folder, _data_files=[1]), "names a file that is not in the folder"),
    "a deep state": (lambda folder: (folder / "state.json").write_text("[" * 20_000), "more than 200 levels"),
    "splits of elsewhere": (
        lambda folder: state(folder, "dataset_dict.json", splits=["../secret"]),
        "names a split that is no folder",
    ),
}


@pytest.mark.parametrize("kind", FOLDERS)
def test_what_leads_elsewhere_is_refused(kind: str, tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "rows.jsonl").write_text("the key is 1234\n")
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "train.jsonl").write_text(ROWS)
    harm, said = FOLDERS[kind]
    harm(folder)
    with pytest.raises(UserError) as caught:
        rows(folder)
    assert said in str(caught.value) and "1234" not in str(caught.value), caught.value
    assert isinstance(caught.value, DataError)


def test_a_card_may_choose_files_of_its_folder(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.jsonl").write_text(ROWS)
    (tmp_path / "b.jsonl").write_text("no rows\n")
    (tmp_path / "README.md").write_text(
        "---\nlicense: mit\nconfigs:\n- config_name: default\n  data_files:\n  - {split: train, path: data/*.jsonl}\n---\n# x"
    )
    assert [row["answer"] for row in rows(tmp_path)] == ["0", "1", "2", "3", "4"]


def test_a_link_to_a_file_is_refused_and_one_into_the_cache_of_the_hub_is_followed(tmp_path: Path) -> None:
    (tmp_path / "private.jsonl").write_text("the key is 1234\n")
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "x.jsonl").symlink_to("../private.jsonl")
    with pytest.raises(DataError, match=r"is a link to .*private\.jsonl; name that file itself") as caught:
        rows(tmp_path / "here" / "x.jsonl")
    assert "1234" not in str(caught.value)
    for part in ("blobs", "snapshots/1/data"):
        (tmp_path / "datasets--a" / part).mkdir(parents=True)
    (tmp_path / "datasets--a" / "blobs" / "abc").write_text(ROWS)
    (tmp_path / "datasets--a" / "snapshots/1/data/x.jsonl").symlink_to("../../../blobs/abc")
    assert len(rows(tmp_path / "datasets--a" / "snapshots/1/data/x.jsonl")) == 5
