"""Trackers that are installed show what they are sent; those that are not are refused with the command."""

from __future__ import annotations

import json
import sqlite3
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from selfimprove.errors import EngineError, RecipeError
from selfimprove.interfaces import Tracked, Tracker
from selfimprove.methods.tracker import tensorboard, trackio, wandb
from selfimprove.methods.tracker.none import Nowhere

NAMES = {"tensorboard": tensorboard.Tensorboard, "trackio": trackio.Trackio, "wandb": wandb.Wandb}


def shown(tracker: Tracker, folder: Path, resumed: bool = False) -> None:
    """A session of a run with a curve, a round, an alarm and a champion."""
    weights = folder / "model.safetensors"
    weights.write_bytes(b"x")
    tracker.begin(
        Tracked(id="5a5a5a", name="run", folder=folder, settings={"seed": 1, "task": {"x": {}}}, resumed=resumed)
    )
    number = 2 if resumed else 1
    tracker.log("train/global_step", 10 * number, {"train/loss": 0.5 / number})
    tracker.log("round", number, {"candidate/accuracy": 0.25 * number})
    tracker.alert(number, "round 1: length", "completions grow", 1)
    tracker.alert(number, "round 1: forgetting", "a veto", 2)
    tracker.refer("champion", weights, "5a")
    tracker.end()


@pytest.mark.parametrize("name", NAMES)
def test_a_tracker_that_is_not_installed_is_refused_with_the_command(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = {"tensorboard": tensorboard, "trackio": trackio, "wandb": wandb}[name]
    monkeypatch.setattr(module, "find_spec", lambda package: None)
    with pytest.raises(EngineError, match=f"tracker {name} needs the package {name}: pip install"):
        NAMES[name]().preflight()


def test_no_tracker_takes_everything_and_wandb_needs_a_key_to_be_online(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown(Nowhere(), tmp_path)
    monkeypatch.setattr(wandb, "find_spec", lambda package: True)
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    assert wandb.Wandb().preflight() == []
    with pytest.raises(EngineError, match="WANDB_API_KEY"):
        wandb.Wandb(mode="online").preflight()
    with pytest.raises(RecipeError, match="auto, online, offline"):
        wandb.Wandb(mode="on")


@pytest.mark.long
@pytest.mark.skipif(find_spec("tensorboard") is None, reason="tensorboard is not installed")
def test_tensorboard_has_the_curves_of_both_sessions(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    shown(tensorboard.Tensorboard(), tmp_path)
    shown(tensorboard.Tensorboard(), tmp_path, resumed=True)
    found = EventAccumulator(str(tmp_path / "tensorboard"))
    found.Reload()
    assert [(one.step, one.value) for one in found.Scalars("train/loss")] == [(10, 0.5), (20, 0.25)]
    assert [(one.step, one.value) for one in found.Scalars("candidate/accuracy")] == [(1, 0.25), (2, 0.5)]
    assert "alerts/text_summary" in found.Tags()["tensors"]


@pytest.mark.long
@pytest.mark.skipif(find_spec("trackio") is None, reason="trackio is not installed")
def test_trackio_continues_a_run_without_an_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    shown(trackio.Trackio(), tmp_path)
    shown(trackio.Trackio(), tmp_path, resumed=True)
    [file] = (tmp_path / "trackio").rglob("selfimprove.db")
    with sqlite3.connect(file) as base:
        rows = [json.loads(text) for (text,) in base.execute("select metrics from metrics order by id")]
    values: dict[str, list[Any]] = {}
    for row in rows:
        for name, value in row.items():
            values.setdefault(name, []).append(value)
    assert values["train/loss"] == [0.5, 0.25] and values["candidate/accuracy"] == [0.25, 0.5]


@pytest.mark.long
@pytest.mark.skipif(find_spec("wandb") is None, reason="wandb is not installed")
def test_wandb_keeps_everything_in_files_without_an_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    shown(wandb.Wandb(), tmp_path)
    shown(wandb.Wandb(), tmp_path, resumed=True)
    assert len(list((tmp_path / "wandb").glob("offline-run-*-5a5a5a"))) == 2
