"""Run every step in a process of its own: when it ends, all memory is given back.

Idea: engine and trainer never share a GPU's memory, and a crash takes one step down, not the run.
Survey: none.
Paper: none.
Algorithm:
  1. Start `python -m selfimprove step RUN ROUND STAGE` and wait for it.
  2. A failed step raises the error that it reported, with its exit code.
  3. When the run is stopped, the step is asked to end as well, and has time to save a training that is under way.
Differs: nothing to compare with.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from selfimprove.errors import UserError
from selfimprove.interfaces import Launcher
from selfimprove.registry import register

PATIENCE = 25.0
"""Seconds that a step has to end itself before it is killed."""


@register("process")
@dataclass
class Process(Launcher):
    def launch(self, step: Callable[[], None], command: Sequence[str]) -> None:
        child = subprocess.Popen([sys.executable, "-m", "selfimprove", *command], stdin=subprocess.DEVNULL)
        try:
            child.wait()
        except BaseException:
            _end(child)
            raise
        if child.returncode != 0:
            error = UserError(f"the step `selfimprove {' '.join(command)}` ended with exit code {child.returncode}")
            error.code = child.returncode if child.returncode > 0 else 1
            raise error


def _end(child: subprocess.Popen[bytes]) -> None:
    """Ask it to end; unlike SIGTERM this is no second signal where the terminal has sent it one already."""
    child.send_signal(signal.SIGUSR2)
    try:
        child.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
