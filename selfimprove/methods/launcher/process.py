"""Run every step in a new process, which releases all memory when it ends.

Idea: engine and trainer never share a GPU's memory, and a crash ends one step, not the run.
Survey: none.
Paper: none.
Algorithm:
  1. Start `python -m selfimprove step RUN ROUND STAGE` and wait for it.
  2. If the step fails, raise the error that it reported, with its exit code.
  3. If the run is stopped, ask the step to end and give it time to save its training.
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
"""Seconds for a step to end itself before it is killed."""


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
    """Ask the step to end with a signal that, unlike SIGTERM, does not count as a second one from the terminal."""
    child.send_signal(signal.SIGUSR2)
    try:
        child.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
