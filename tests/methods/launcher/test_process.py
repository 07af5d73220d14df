"""The step runs as a command of its own; how the command ends is how the step ends."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from selfimprove.errors import UserError
from selfimprove.loop.loop import Runner
from selfimprove.methods.launcher import process
from selfimprove.methods.launcher.process import Process


def test_the_equal_command_is_run_and_not_the_step(never: Callable, python: Callable) -> None:
    notes = python("exit 0")
    Process().launch(never, ["step", "a run", "1", "gate", "--fingerprint", "f"])
    assert notes.read_text().strip() == "|-m|selfimprove|step|a run|1|gate|--fingerprint|f"


def test_the_exit_code_of_the_step_is_that_of_the_error(never: Callable, python: Callable) -> None:
    python("exit 65")
    with pytest.raises(UserError, match="exit code 65") as error:
        Process().launch(never, ["step", "run", "1", "gate"])
    assert error.value.code == 65 and UserError.code == 2 and "\n" not in str(error.value)


def test_a_step_that_was_killed_is_an_error_too(never: Callable, python: Callable) -> None:
    python("kill -9 $$")
    with pytest.raises(UserError, match="-9") as error:
        Process().launch(never, ["step", "run", "1", "gate"])
    assert error.value.code == 1


@pytest.mark.long
def test_a_stopped_run_has_the_step_end_itself_and_kills_one_that_does_not(
    never: Callable, python: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(process, "PATIENCE", 1.0)
    before = signal.signal(signal.SIGALRM, stop)
    try:
        for trap, left in ((f"sleep 0.3; echo saved > {tmp_path}/said; exit 143", True), ("", False)):
            notes = python(f"trap '{trap}' USR2\necho $$ > {tmp_path}/pid\nwhile :; do sleep 0.02; done")
            signal.setitimer(signal.ITIMER_REAL, 0.5)
            with pytest.raises(KeyboardInterrupt):
                Process().launch(never, ["step"])
            assert notes.exists() and (tmp_path / "said").exists() == left
            assert not (Path("/proc") / (tmp_path / "pid").read_text().strip()).exists()
            (tmp_path / "said").unlink(missing_ok=True)
    finally:
        signal.signal(signal.SIGALRM, before)


def test_the_step_cannot_read_the_keyboard(never: Callable, python: Callable, tmp_path: Path) -> None:
    python(f"cat > {tmp_path}/input")
    Process().launch(never, ["step"])
    assert (tmp_path / "input").read_text() == ""


@pytest.mark.long
def test_a_real_command_reports_a_missing_run_with_its_code(
    never: Callable, tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    with pytest.raises(UserError) as error:
        Process().launch(never, ["step", str(tmp_path / "nowhere"), "1", "gate", "--fingerprint", "f"])
    assert error.value.code == 66
    shown = capfd.readouterr().err
    assert shown.startswith("error: ") and "is not a run folder" in shown and "Traceback" not in shown


@pytest.mark.runs
def test_a_step_in_a_process_writes_what_it_would_have_written_here(never: Callable, make_run: Callable) -> None:
    folder, log = make_run("rounds=0", "engine=fake", "engine.fake.default='#5'", "optimization=sft")
    Runner(folder, log).run()
    step, manifest = folder.step(0, "evaluation"), folder.manifest(0, "evaluation")
    here = {path.name: path.read_bytes() for path in step.iterdir() if path.name not in ("step.json", "timing.json")}
    shutil.rmtree(step)
    command = ["step", str(folder.root), "0", "evaluation", "--fingerprint", manifest["fingerprint"]]
    Process().launch(never, command)
    assert {
        path.name: path.read_bytes() for path in step.iterdir() if path.name not in ("step.json", "timing.json")
    } == here
    assert folder.done(0, "evaluation", manifest["fingerprint"], manifest["inputs"])
    assert folder.manifest(0, "evaluation")["files"] == manifest["files"]
