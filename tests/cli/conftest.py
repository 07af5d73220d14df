"""Commands that are run in this process."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable

import pytest

from selfimprove.cli import main


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """`command("show", "star")`: run a command; returns (exit code, standard output, standard error)."""

    def call(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["selfimprove", *words])
        monkeypatch.setattr(signal, "signal", lambda *_: None)
        with pytest.raises(SystemExit) as left:
            main.main()
        shown = capsys.readouterr()
        return int(left.value.code or 0), shown.out, shown.err

    return call
