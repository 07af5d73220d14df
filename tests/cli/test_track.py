"""What the command `track` says; what a tracker gets is in tests/loop/test_tracking.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from selfimprove import registry

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def test_what_cannot_be_tracked_is_one_line(
    make_run: Callable[..., Any], command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, _ = make_run()
    table = [
        (["."], 66, "is not a run folder"),
        ([str(run.root)], 69, "the recipe names no tracker; add --tracker tensorboard, trackio or wandb"),
        ([str(run.root), "--tracker", "mlflow"], 2, "no tracker is called 'mlflow'"),
    ]
    monkeypatch.setattr(registry.find("tracker", "tensorboard").method, "preflight", lambda self: [])
    table.append(([str(run.root), "--tracker", "tensorboard"], 66, "has no finished round yet; go on with it"))
    for words, code, said in table:
        found, out, err = command("track", *words)
        assert (found, out) == (code, "") and said in err and err.count("\n") == 1
