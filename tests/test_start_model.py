"""A model that was built once is taken from the cache, whole and with its numbers; without a cache a run goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from selfimprove import recipe as recipes
from selfimprove import start_model
from selfimprove.metric_log import MetricLog
from selfimprove.model.tiny import Tiny
from selfimprove.records import Checkpoint
from selfimprove.rundir import RunDir, intact, write_json, write_text
from selfimprove.stored import Stored


@pytest.fixture
def shelves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the cache keeps models; the bootstrap itself takes no time and counts its calls."""
    monkeypatch.setenv("SELFIMPROVE_CACHE", str(tmp_path / "cache"))

    def build(self: Tiny, task: Any, engine: Any, folder: Path, seed: int, log: Any) -> Checkpoint:
        (folder / "model").mkdir()
        (folder / "model" / "weights").write_text(f"of seed {seed}")
        log.metric("bootstrap/accuracy", 0.5)
        return Checkpoint(path=str(folder / "model"))

    monkeypatch.setattr(Tiny, "build", build)
    return tmp_path / "cache" / "models"


def started(root: Path, log: Any) -> tuple[Path, dict[str, float]]:
    """The model folder of a new run, and its numbers."""
    run = RunDir.create(root)
    _, settings = recipes.load("quickstart", [])
    write_text(run.root / "recipe.yaml", recipes.runnable(settings))
    write_json(run.root / "environment.json", {"settings": settings})
    folder, kept = run.begin(0, "model"), MetricLog(log)
    start_model.build(Stored(run), folder, kept)
    return folder, kept.metrics


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != "step.json"}


def test_a_second_run_has_the_model_and_its_numbers(tmp_path: Path, shelves: Path, quiet_log: Any) -> None:
    first, numbers = started(tmp_path / "first", quiet_log)
    (shelf,) = shelves.iterdir()
    assert (quiet_log.notes, numbers) == ([], {"bootstrap/accuracy": 0.5})
    second, again = started(tmp_path / "second", quiet_log)
    assert (files(second), again) == (files(first), numbers) == (files(shelf), numbers)
    assert quiet_log.notes == [f"taken from the cache: {shelf}"]


def test_a_damaged_model_is_built_again_and_replaced(tmp_path: Path, shelves: Path, quiet_log: Any) -> None:
    first, _ = started(tmp_path / "first", quiet_log)
    (shelf,) = shelves.iterdir()
    (shelf / "model" / "weights").write_text("damaged")
    second, _ = started(tmp_path / "second", quiet_log)
    assert files(second) == files(first) == files(shelf) and intact(shelf) and quiet_log.notes == []


def test_a_model_that_another_run_has_kept_meanwhile_is_left_alone(
    tmp_path: Path, shelves: Path, quiet_log: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    started(tmp_path / "first", quiet_log)
    (shelf,) = shelves.iterdir()
    away, build = tmp_path / "away", Tiny.build
    shelf.rename(away)

    def slower(self: Tiny, *given: Any) -> Checkpoint:
        made = build(self, *given)
        away.rename(shelf)  # the other run is ready first
        return made

    monkeypatch.setattr(Tiny, "build", slower)
    before = away.stat().st_ino
    second, _ = started(tmp_path / "second", quiet_log)
    assert (shelf.stat().st_ino, list(shelves.iterdir())) == (before, [shelf])
    assert files(second) == files(shelf) and quiet_log.notes == []


def test_a_run_goes_on_where_nothing_can_be_kept(tmp_path: Path, shelves: Path, quiet_log: Any) -> None:
    shelves.parent.mkdir()
    shelves.write_text("a file where the folder should be")
    folder, numbers = started(tmp_path / "first", quiet_log)
    assert (folder / "checkpoint.json").exists() and numbers == {"bootstrap/accuracy": 0.5}
    (note,) = quiet_log.notes
    assert note.startswith(f"the model was not kept for later runs in {shelves}: ")
    assert not any(path.name.startswith(".") for path in shelves.parent.iterdir())
