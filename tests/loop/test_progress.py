"""progress.json: what a run is doing, at most once a second, and never a reason for it to end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from selfimprove.logs import Silent
from selfimprove.loop.progress import FILE, Progress, read


class Time:
    """A clock that a test turns on."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def said(root: Path) -> Any:
    return json.loads((root / FILE).read_text())


def test_the_step_and_its_count_are_replaced_once_a_second_and_gone_at_the_end(tmp_path: Path) -> None:
    clock = Time()
    with Progress(Silent(), tmp_path, clock=clock) as watcher:
        watcher.step(2, "optimization")
        assert (said(tmp_path)["round"], said(tmp_path)["stage"]) == (2, "optimization")
        clock.now += 0.5
        watcher.progress(1, 40, "steps")
        assert said(tmp_path)["total"] == 0
        clock.now += 1.0
        watcher.progress(3, 40, "steps")
        assert {"done": 3, "total": 40, "unit": "steps", "rate": 2.0}.items() <= said(tmp_path).items()
        assert read(tmp_path) == said(tmp_path)
        assert sorted(path.name for path in tmp_path.iterdir()) == [FILE]
    assert not list(tmp_path.iterdir())


def test_only_whoever_carries_out_the_run_removes_it(tmp_path: Path) -> None:
    with Progress(Silent(), tmp_path, whole=False) as step:
        step.step(1, "audit")
    with Progress(Silent(), tmp_path):
        pass  # another process holds the run: nothing was said
    assert said(tmp_path)["stage"] == "audit"
    with Progress(Silent(), tmp_path) as again:
        again.round({"round": 1})
    assert not (tmp_path / FILE).exists()


def test_of_processes_that_train_together_the_first_one_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    Progress(Silent(), tmp_path).step(1, "optimization")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("place", ["missing", "file", "folder", "link", "planted"])
def test_what_cannot_be_written_is_left_out(tmp_path: Path, place: str) -> None:
    root = tmp_path / "run"
    other = tmp_path / "other"
    other.write_text("kept")
    if place == "file":
        root.write_text("")
    elif place != "missing":
        root.mkdir()
    if place == "folder":
        (root / FILE).mkdir()
    if place in ("link", "planted"):
        (root / (FILE if place == "link" else f".{FILE}.new")).symlink_to(other)
    with Progress(Silent(), root) as watcher:
        watcher.step(1, "audit")
        watcher.progress(1, 2)
    assert other.read_text() == "kept"


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"pid": 1, "stage": 3}', '{"pid": "1"}'])
def test_what_cannot_be_read_says_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text)
    assert read(tmp_path) == {} == read(tmp_path / "none")
