"""Files that are removed on purpose: the step is valid before, during and after, whatever fails."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path

import pytest

from selfimprove.errors import DataError
from selfimprove.store import failpoints
from selfimprove.store.pruning import prune, pruned
from selfimprove.store.seal import PRUNED, damage, seal
from selfimprove.trials.sweep import in_fork

NAMES = ["model/a.safetensors", "model/sub/b.json"]


@pytest.fixture
def step(tmp_path: Path) -> Path:
    folder = tmp_path / "run" / "step"
    (folder / "model" / "sub").mkdir(parents=True)
    (folder / "note.json").write_text("{}")
    (folder / NAMES[0]).write_bytes(b"x" * 1000)
    (folder / NAMES[1]).write_bytes(b"y" * 10)
    seal(folder, {"round": 1})
    return folder


def test_a_pruned_step_is_valid_without_these_files_and_with_no_others(step: Path) -> None:
    before = (step / "step.json").read_bytes()
    assert pruned(step) == frozenset()
    assert prune(step, NAMES[:1]) == 1000 and not (step / NAMES[0]).exists() and damage(step) == ""
    assert prune(step, NAMES[1:]) == 10 and pruned(step) == {*NAMES} and not (step / "model").exists()
    assert damage(step) == "" and (step / "step.json").read_bytes() == before and prune(step, NAMES) == 0
    (step / "model").mkdir()
    (step / NAMES[0]).write_bytes(b"z" * 1000)
    assert damage(step) == f"{NAMES[0]} was changed"  # what is there must be right
    (step / NAMES[0]).unlink()
    (step / "note.json").unlink()
    assert damage(step) == "note.json is missing"


def test_a_damaged_step_is_not_pruned_and_a_forged_note_excuses_nothing(step: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(step, tmp_path / "other"))
    (step / "note.json").write_text("[]")
    with pytest.raises(DataError, match=r"note.json was changed"):
        prune(step, NAMES)
    assert (step / NAMES[0]).exists() and not (step / PRUNED).exists()
    prune(other, NAMES[:1])
    noted = json.loads((other / PRUNED).read_text())
    for wrong in ({**noted, "files": NAMES}, {"files": NAMES}, [], {**noted, "step": "5a"}):
        (other / PRUNED).write_text(json.dumps(wrong))
        assert damage(other) == f"{PRUNED} is damaged or of another step"
    (other / PRUNED).write_text("{")
    assert PRUNED in damage(other)
    (other / PRUNED).unlink()
    assert damage(other) == f"{NAMES[0]} is missing"


@pytest.mark.parametrize("kind", ["kill", "power", "torn", "enospc", "eio"])
def test_whatever_fails_the_step_is_valid_and_the_next_attempt_ends_it(
    step: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    whole, run, ends = Path(shutil.copytree(step.parent, tmp_path / "whole")), step.parent, set[int]()
    for number in range(30):
        shutil.rmtree(run)
        shutil.copytree(whole, run)
        monkeypatch.setenv(failpoints.SWITCH, f"*:{number}:{kind}")
        monkeypatch.setenv(failpoints.ROOT, str(run))
        ended, said = in_fork(lambda: (failpoints.state(), prune(step, NAMES)))
        monkeypatch.delenv(failpoints.SWITCH)
        assert damage(step) == "", (number, kind)
        prune(step, NAMES)
        assert damage(step) == "" and pruned(step) == {*NAMES} and not (step / "model").exists()
        ends.add(ended)
        if ended == 0:
            break
    assert ends == {0, -signal.SIGKILL if kind in ("kill", "power", "torn") else 74}, said
