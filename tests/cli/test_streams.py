"""Standard streams that are closed, full, without a reader or for few letters."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.runs
def test_a_reader_that_leaves_does_not_end_the_run(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib\n"
        "from rich.console import Console\n"
        "from selfimprove.cli.streams import opened\n"
        "opened(); opened(lasting=True); console = Console()\n"
        "for number in range(2000): console.print('line', number)\n"
        f"pathlib.Path({str(tmp_path / 'done')!r}).write_text('to the end')\n"
    )
    command = f'{sys.executable} -c "$PROGRAM" | head -1; echo ${{PIPESTATUS[0]}}'
    done = subprocess.run(
        ["bash", "-c", command], env={**os.environ, "PROGRAM": program}, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.splitlines() == ["line 0", "0"] and not done.stderr
    assert (tmp_path / "done").read_text() == "to the end"


def test_closed_outputs_are_not_given_to_files(tmp_path: Path) -> None:
    program = (
        "from selfimprove.cli.streams import opened\n"
        "opened()\n"
        f"file = open({str(tmp_path / 'file')!r}, 'w'); print('stray'); file.write('mine')\n"
    )
    subprocess.run(
        ["bash", "-c", f'{sys.executable} -c "$P" >&- 2>&- <&-'], env={**os.environ, "P": program}, check=True
    )
    assert (tmp_path / "file").read_text() == "mine"
