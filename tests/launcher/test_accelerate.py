"""Several processes train one step; how one of them ends is how the step ends."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from selfimprove.errors import RecipeError, UserError
from selfimprove.launcher.accelerate import Accelerate
from selfimprove.rundir import RunDir
from selfimprove.runner import Runner, create

TRAIN = ["step", "run", "1", "optimization"]


@pytest.fixture
def python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """`python("exit 3")`: the interpreter is a shell script that notes its variables and then does this."""

    def make(then: str) -> Path:
        script, notes = tmp_path / "python", tmp_path / "notes"
        script.write_text(f'#!/bin/sh\necho "$RANK $LOCAL_RANK $WORLD_SIZE $MASTER_ADDR $*" >> {notes}\n{then}\n')
        script.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(script))
        for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR"):
            monkeypatch.delenv(name, raising=False)
        return notes

    return make


def never() -> None:
    raise AssertionError("the step must not run in this process")


def test_a_step_that_trains_has_the_variables_of_torchrun(python: Callable) -> None:
    notes = python("exit 0")
    Accelerate(processes=3).launch(never, TRAIN)
    words = "-m selfimprove step run 1 optimization"
    assert sorted(notes.read_text().splitlines()) == [f"{rank} {rank} 3 127.0.0.1 {words}" for rank in range(3)]


@pytest.mark.parametrize("stage", ["acquisition", "evaluation", "sealed"])
def test_any_other_step_runs_once_and_alone(python: Callable, stage: str) -> None:
    notes = python("exit 0")
    Accelerate(processes=3).launch(never, ["step", "run", "1", stage])
    assert notes.read_text().split() == ["-m", "selfimprove", "step", "run", "1", stage]


def test_one_that_fails_ends_the_others_and_is_heard(python: Callable, capfd: pytest.CaptureFixture) -> None:
    python('[ "$RANK" = 1 ] && echo "error: no such row" >&2 && exit 65\nexec sleep 60')
    began = time.monotonic()
    with pytest.raises(UserError, match="exit code 65") as error:
        Accelerate(processes=2).launch(never, TRAIN)
    assert time.monotonic() - began < 20 and error.value.code == 65
    assert capfd.readouterr().err == "error: no such row\n"


def test_what_the_others_say_is_not_shown_twice(python: Callable, capfd: pytest.CaptureFixture) -> None:
    python("echo step $RANK; echo note $RANK >&2")
    Accelerate(processes=2).launch(never, TRAIN)
    shown = capfd.readouterr()
    assert (shown.out, shown.err) == ("step 0\n", "note 0\n")


def test_a_stop_of_the_run_ends_all_of_them(python: Callable, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    python(f"echo $$ >> {tmp_path}/pids\nexec sleep 60")
    plain = time.sleep

    def stopped(seconds: float) -> None:
        if (tmp_path / "pids").exists() and len((tmp_path / "pids").read_text().split()) == 2:
            monkeypatch.setattr(time, "sleep", plain)
            raise KeyboardInterrupt
        plain(seconds)

    monkeypatch.setattr(time, "sleep", stopped)
    with pytest.raises(KeyboardInterrupt):
        Accelerate(processes=2).launch(never, TRAIN)
    for pid in (tmp_path / "pids").read_text().split():
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid), 0)


def test_fewer_than_no_processes_are_refused() -> None:
    with pytest.raises(RecipeError, match="launcher.accelerate.processes is -1"):
        Accelerate(processes=-1)


SMALL = [
    *("rounds=1", "gate_problems=12", "sealed_problems=12", "probe_problems=4", "audit_problems=4", "audit_samples=2"),
    *("reward=random", "acquisition.seed_prompts.problems=12", "acquisition.rejection_sampling.samples=2"),
    *("acquisition.rejection_sampling.max_completion_length=12", "engine.transformers.max_completion_length=12"),
    *("model.tiny.max_steps=2", "model.tiny.check_every=2", "model.tiny.probes=8"),
    *("optimization.sft.max_steps=3", "optimization.sft.lr_scheduler_type=constant"),
]


class Quiet:
    def step(self, number, stage): ...
    def progress(self, done, total, unit=""): ...
    def metric(self, name, value): ...
    def note(self, text): ...
    def round(self, line): ...


@pytest.mark.slow
def test_two_processes_train_what_one_trains_on_batches_of_twice_the_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run finishes, a lost step is done again to the same bytes, and its verdict is that of one process."""
    import torch
    from safetensors.torch import load_file

    monkeypatch.setenv("SELFIMPROVE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    alone = create("quickstart", [*SMALL, "optimization.sft.per_device_train_batch_size=8"], tmp_path / "alone").root
    one = Runner(RunDir(alone), Quiet()).run()
    both = ["launcher=accelerate", "launcher.accelerate.processes=2", "optimization.sft.per_device_train_batch_size=4"]
    root = create("quickstart", [*SMALL, *both], tmp_path / "both").root
    two = Runner(RunDir(root), Quiet()).run()
    place = Path("round_001") / "optimization" / "model" / "model.safetensors"
    first, second = load_file(alone / place), load_file(root / place)
    start = load_file(alone / "round_000" / "model" / "model.safetensors")
    for name in first:  # another order of summation, nothing else
        moved = float((first[name] - start[name]).abs().max())
        assert torch.allclose(first[name], second[name], atol=1e-6 + moved / 20), name
    assert (two["verdict"], two["sealed"]["n"]) == (one["verdict"], one["sealed"]["n"])
    assert json.loads((root / "round_001/optimization/step.json").read_text())["metrics"]["train/steps"] == 3

    before = (root / place).read_bytes()
    for step in ("optimization", "refinement", "evaluation", "audit", "gate", "controller", "sealed", "confirmation"):
        if (root / "round_001" / step).exists():
            (root / "round_001" / step).rename(tmp_path / step)
    (root / "summary.json").unlink()
    Runner(RunDir.open(root), Quiet()).run()
    assert (root / place).read_bytes() == before
