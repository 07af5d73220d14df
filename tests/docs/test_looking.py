"""The commands of docs/looking.md, run on a small run."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from selfimprove.cli import main
from selfimprove.loop import loop

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "looking.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^\$ selfimprove (.*)$", PAGE, re.MULTILINE)


@pytest.mark.long
def test_every_command_of_the_page_shows_something(
    make_run: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, log = make_run("rounds=1", "gate_problems=40", name="runs/quickstart")
    loop.Runner(folder, log).run()
    shutil.copytree(folder.root, tmp_path / "runs" / "other", symlinks=True)
    monkeypatch.chdir(tmp_path)
    assert len(COMMANDS) >= 12
    for command in COMMANDS:
        assert main.app(shlex.split(command), standalone_mode=False) in (0, None), command
        assert len(capsys.readouterr().out) > 60, command
    for page in ("runs/quickstart/report.html", "page.html", "both.html"):
        assert (tmp_path / page).stat().st_size > 20_000


def test_the_states_are_those_of_the_program() -> None:
    from selfimprove.report.status import CODES

    rows = re.findall(r"^\| (.+?) \| .+ \| (\d+) \|$", PAGE[PAGE.index("| state |") :], re.MULTILINE)
    assert sorted(int(code) for _, code in rows) == sorted(CODES.values())
