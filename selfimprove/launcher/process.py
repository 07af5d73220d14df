"""Run every step in a process of its own: when it ends, all memory is given back.

Idea: engine and trainer never share a GPU's memory, and a crash takes one step down, not the run.
Survey: none.
Paper: none.
Algorithm:
  1. Start `python -m selfimprove step RUN ROUND STAGE` and wait for it.
  2. A failed step raises the error that it reported, with its exit code.
Differs: nothing to compare with.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from selfimprove.errors import UserError
from selfimprove.interfaces import Launcher
from selfimprove.registry import register


@register("process")
@dataclass
class Process(Launcher):
    def launch(self, step: Callable[[], None], command: Sequence[str]) -> None:
        child = subprocess.run([sys.executable, "-m", "selfimprove", *command], check=False, stdin=subprocess.DEVNULL)
        if child.returncode != 0:
            error = UserError(f"the step `selfimprove {' '.join(command)}` ended with exit code {child.returncode}")
            error.code = child.returncode if child.returncode > 0 else 1
            raise error
