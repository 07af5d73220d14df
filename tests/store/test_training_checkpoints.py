"""Checkpoints inside a step: only the newest whole one of this very step is ever handed out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from selfimprove.errors import StorageError
from selfimprove.store.run_folder import RunDir
from selfimprove.store.training_checkpoints import Unfinished


@pytest.fixture
def shelf(tmp_path: Path) -> Unfinished:
    return again(tmp_path)


def again(tmp_path: Path, bound: str = "b", said: Any = None) -> Unfinished:
    return Unfinished(RunDir(tmp_path), 1, "optimization", bound, ([] if said is None else said).append)


def write(folder: Path) -> None:
    (folder / "weights").write_bytes(b"12345678")


def test_the_newest_takes_the_place_of_the_former_and_all_go_with_the_step(shelf: Unfinished, tmp_path: Path) -> None:
    assert shelf.newest(0) is None
    for step in (9, 10, 100):
        shelf.keep(0, step, write)
    shelf.keep(1, 3, write)
    assert shelf.folder == tmp_path / "round_001" / ".optimization.training"
    assert sorted(path.name for path in shelf.folder.iterdir()) == ["00-00000100", "01-00000003"]
    assert shelf.newest(0) == shelf.folder / "00-00000100"
    shelf.clear()
    shelf.clear()
    assert not shelf.folder.exists()


def flip(folder: Path) -> None:
    (folder / "weights").write_bytes(b"12345679")


def link(folder: Path) -> None:
    folder.rename(folder.with_name("elsewhere"))
    folder.symlink_to("elsewhere")


DAMAGES: dict[str, Callable[[Path], Any]] = {
    "weights was changed": flip,
    "weights is missing": lambda folder: (folder / "weights").unlink(),
    "step.json is missing or damaged": lambda folder: (folder / "step.json").unlink(),
    "rng.pth does not belong to it": lambda folder: (folder / "rng.pth").write_bytes(b""),
    "a symlink is in its place": link,
}


@pytest.mark.parametrize("reason", DAMAGES)
def test_a_damaged_one_is_thrown_away(shelf: Unfinished, tmp_path: Path, reason: str) -> None:
    said = list[str]()
    shelf.keep(0, 7, write)
    DAMAGES[reason](shelf.folder / "00-00000007")
    assert again(tmp_path, said=said).newest(0) is None and reason in said[0] and "starts over" in said[0]
    assert not (shelf.folder / "00-00000007").exists() and not (shelf.folder / "00-00000007").is_symlink()


def test_one_of_other_options_or_inputs_is_thrown_away(shelf: Unfinished, tmp_path: Path) -> None:
    said = list[str]()
    shelf.keep(0, 7, write)
    assert again(tmp_path).newest(0)
    assert (
        again(tmp_path, "other", said).newest(0) is None
        and "options, inputs or versions of the step have changed" in said[0]
    )


def test_a_planted_symlink_in_place_of_all_is_taken_away(shelf: Unfinished, tmp_path: Path) -> None:
    (tmp_path / "round_001").mkdir()
    (tmp_path / "theirs").mkdir()
    shelf.folder.symlink_to(tmp_path / "theirs")
    assert shelf.newest(0) is None and not shelf.folder.is_symlink() and (tmp_path / "theirs").is_dir()


@pytest.mark.parametrize("point", ["seal.fsync", "write.rename", "keep.rename", "keep.fsync", "remove.entries"])
def test_what_fails_while_it_is_written_leaves_the_former_or_the_new_one(
    shelf: Unfinished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    shelf.keep(0, 7, write)
    monkeypatch.setenv("SELFIMPROVE_FAILPOINT", f"{point}:0:enospc")
    with pytest.raises(StorageError):
        shelf.keep(0, 8, write)
    monkeypatch.delenv("SELFIMPROVE_FAILPOINT")
    newest = again(tmp_path).newest(0)
    assert newest and newest.name == ("00-00000008" if point == "keep.fsync" else "00-00000007")
    shelf.keep(0, 9, write)
    assert [path.name for path in shelf.folder.iterdir()] == ["00-00000009"]
