"""What the command `prune` says; what it does is in tests/loop/test_keeping.py."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from selfimprove.loop.loop import Runner

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


@pytest.mark.long
def test_what_would_go_is_shown_and_stays(make_run: Callable[..., Any], command: Command) -> None:
    run, log = make_run("rounds=2", "gate_problems=20", "sealed_problems=20", "audit_problems=0", "probe_problems=0")
    Runner(run, log).run()
    found = json.loads(command("prune", str(run.root), "--keep", "champion", "--dry-run", "--json")[1])
    assert found["pruned"] is False and {"0", "2"} <= {*found["kept"]} and len(found["steps"]) == 3 - len(found["kept"])
    code, out, err = command("prune", str(run.root), "--keep", "champion", "--dry-run")
    assert (code, err) == (0, "") and "the weights stay of round 0 (the start); " in out
    assert max(map(len, out.splitlines()[:-2]), default=0) <= 80


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["prune", "."], 66, "is not a run folder"),
        (["prune", ".", "--keep", "best"], 2, "--keep best is none of needed, champion, all, or best:K such as best:3"),
    ],
)
def test_what_cannot_be_pruned_is_one_line(
    words: list[str], code: int, said: str, command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    found, out, err = command(*words)
    assert (found, out) == (code, "") and said in err and err.count("\n") == 1
