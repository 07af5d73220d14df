"""`status`, `samples` and `report` on runs that go on, are done, or are damaged, at the command line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from selfimprove.cli.run import finish
from selfimprove.loop import begin
from selfimprove.loop.loop import Runner
from selfimprove.report.page import page
from selfimprove.report.status_text import unfinished
from selfimprove.trials import rehearsal


@pytest.mark.long
def test_a_run_is_looked_at_while_it_goes_on_and_when_it_is_done(
    make_run: Callable[..., Any], command: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder, log = make_run("rounds=2", "gate_problems=40")
    root = shutil.copytree(folder.root, tmp_path / "runs" / "half")
    monkeypatch.chdir(tmp_path)
    code, out, _ = command("status", "runs/half")
    assert code == 3 and "stopped in round 0" in out and "selfimprove resume runs/half" in out
    code, out, err = command("samples", "runs/half")
    assert code == 66 and "no finished round yet" in err and err.count("\n") == 1

    Runner(folder, log).run()
    shutil.rmtree(root)
    shutil.copytree(folder.root, root, symlinks=True)
    shutil.copytree(root, tmp_path / "runs" / "done", symlinks=True)
    (root / "summary.json").unlink()
    code, out, _ = command("status")
    assert code == 0 and out.count("\n") == 4 and "stopped in round 2" in out and "runs/done" in out
    code, out, _ = command("status", "runs/done", "--json")
    assert code == 0 and json.loads(out)["state"] == "done"
    code, out, _ = command("status", "runs/half", "--watch")
    assert code == 3  # it does not run, so there is nothing to wait for
    code, out, _ = command("report", "runs/half")
    assert code == 0 and "not finished" in out and "selfimprove resume runs/half" in out
    code, out, err = command("report", "runs/half", "--json")
    assert code == 66 and "is not a finished run" in err
    assert unfinished(Path("runs/half"), 0.0) == (
        "runs/half is not finished, stopped in round 2. To go on: selfimprove resume runs/half"
    )
    assert not unfinished(Path("runs/done"), 0.0) and not unfinished(tmp_path, 0.0)

    code, out, _ = command("samples", "runs/half", "--trained", "-n", "1", "--json")
    assert code == 0 and json.loads(out)["drawn"][0]["answers"]
    code, out, _ = command("report", "runs/done", "--html")
    assert code == 0 and (tmp_path / "runs" / "done" / "report.html").exists() and "runs no script" in out
    code, out, _ = command("report", "runs/done", "runs/half", "both.html", "--html", "--public")
    assert code == 0 and "Verdicts" in (tmp_path / "both.html").read_text()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["status", "."], 66, "is not a run folder"),
        (["status"], 66, "there is no run in runs/"),
        (["status", "--watch"], 2, "--watch looks at one run"),
        (["samples", "."], 66, "is not a run folder"),
        (["samples", ".", "--lost", "--trained"], 2, "are two things to show"),
        (["samples", ".", "--score", "high"], 2, "is not a range of rewards"),
        (["report", ".", "--html"], 66, "is not a run folder"),
        (["report", "page.html", "--html"], 2, "name a run folder"),
    ],
)
def test_a_mistake_gets_one_line(
    command: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], code: int, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    left, out, err = command(*words)
    assert (left, out) == (code, "") and said in err and err.startswith("error: ") and err.count("\n") == 1


@pytest.mark.long
def test_the_end_of_a_run_writes_its_page_and_a_page_that_cannot_be_written_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    recipe, load = rehearsal.write_recipe(tmp_path), rehearsal.composer()
    root = begin.create(str(recipe), ["rounds=1"], tmp_path / "run", load=load).root
    finish(root, None, load=load)
    said = capsys.readouterr().out
    assert (root / "report.html").read_text().startswith("<!doctype html>") and f"{root}/report.html" in said
    assert not (root / "progress.json").exists()

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(page, "write", full)
    finish(root, None, load=load)
    assert "report.html could not be written: [Errno 28] No space left on device" in capsys.readouterr().out
