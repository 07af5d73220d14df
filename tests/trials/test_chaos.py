"""A recipe under random kills, in processes of its own; and the promises in one command."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from selfimprove.errors import DataError
from selfimprove.trials import chaos, fuzz, selftest
from selfimprove.trials.chaos import Ended, Kill

SMALL = [
    *("rounds=2", "gate_problems=12", "sealed_problems=12", "probe_problems=4", "audit_problems=4", "audit_samples=2"),
    *("control_problems=4", "acquisition.seed_prompts.problems=12", "acquisition.rejection_sampling.samples=2"),
    *("engine.transformers.max_completion_length=12", "acquisition.rejection_sampling.max_completion_length=12"),
    *("optimization.sft.max_steps=4", "optimization.sft.per_device_train_batch_size=4", "reward=random"),
    *("model.tiny.max_steps=4", "model.tiny.check_every=4", "model.tiny.probes=8"),
]
PROGRAM = """
import json, pathlib, sys, time
words = sys.argv[sys.argv.index("-m") + 2 :] if "-m" in sys.argv else sys.argv[1:]
root = pathlib.Path(words[words.index("--out") + 1] if "--out" in words else words[1])
root.mkdir(exist_ok=True)
(root / "environment.json").write_text("{}")
for number in range(4):
    time.sleep(0.1)
    (root / f"step-{number}").write_text("TEXT")
"""


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """The command is a program of four steps, instead of a run."""

    def make(text: str) -> None:
        (tmp_path / "program.py").write_text(text)
        script = tmp_path / "python"
        script.write_text(f'#!/bin/sh\nexec {sys.executable} {tmp_path}/program.py "$@"\n')
        script.chmod(0o755)
        monkeypatch.setattr(chaos.sys, "executable", str(script))

    return make


@pytest.mark.long
def test_runs_are_killed_resumed_and_compared(program: Callable, tmp_path: Path) -> None:
    program(PROGRAM)
    events = list(chaos.chaos("quickstart", [], 6, tmp_path / "out"))
    kills, ends = [e for e in events if isinstance(e, Kill)], [e for e in events if isinstance(e, Ended)]
    assert len(kills) == 6 and not any(kill.orphans for kill in kills)
    assert ends and not any(end.differs for end in ends) and isinstance(events[-1], Ended)
    assert sum(end.starts for end in ends) == 6 + len(ends)
    assert all((tmp_path / "out" / f"run-{event.run}").is_dir() for event in events)


@pytest.mark.faults
def test_a_run_that_a_kill_changes_is_found(program: Callable, tmp_path: Path) -> None:
    program(PROGRAM.replace('"TEXT"', '"resumed" if "resume" in words else "TEXT"'))
    ends = [e for e in chaos.chaos("quickstart", [], 3, tmp_path / "out") if isinstance(e, Ended)]
    assert any("step-3" in end.differs for end in ends)


@pytest.mark.faults
def test_a_process_that_outlives_the_kill_is_found(program: Callable, tmp_path: Path) -> None:
    started = "import subprocess\nsubprocess.Popen(['sleep', '4'], start_new_session=True)\n"
    program(started + PROGRAM)
    kills = [e for e in chaos.chaos("quickstart", [], 1, tmp_path / "out") if isinstance(e, Kill)]
    assert kills[0].orphans == 1


def test_a_run_that_fails_by_itself_is_an_error_that_names_its_log(program: Callable, tmp_path: Path) -> None:
    program("raise SystemExit('error: no such thing')")
    with pytest.raises(DataError, match=r"exit code 1: error: no such thing; see .*undisturbed\.log"):
        list(chaos.chaos("quickstart", [], 1, tmp_path / "out"))


@pytest.mark.slow
def test_a_real_recipe_under_random_kills(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "selfimprove", "chaos", "quickstart", *SMALL, "--kills", "200", "--out"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*command, str(tmp_path / "out")], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "200 kills, nothing lost" in done.stdout


@pytest.mark.slow
def test_every_promise_holds_here() -> None:
    results = list(selftest.selftest())
    assert len(results) == 10 + len(fuzz.names()) and not [result for result in results if result.failed]
