"""Train with several processes, one for each GPU or CPU; every other step runs in one new process.

Idea: TRL's trainers divide a batch among processes that find each other through torchrun's environment variables.
Survey: none.
Paper: none.
Algorithm:
  1. For a training step start `processes` copies of `python -m selfimprove step RUN ROUND STAGE` with the variables of
     torchrun (RANK, LOCAL_RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT); for any other step start one.
  2. Each copy takes its share of every batch; gradients are averaged. The first copy writes the step.
  3. If a copy fails, end the others and raise its error with its exit code.
Differs: torchrun itself would replace the exit code of a step by its own. One machine only. The batch of an optimizer
  step is `processes` times as large. Methods that TRL trains can shard weights and optimizer with `fsdp_config` or
  `deepspeed`. Tested with two CPU processes, not on several GPUs.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from selfimprove.errors import DeviceError, RecipeError, UserError
from selfimprove.interfaces import Launcher
from selfimprove.registry import register

TRAINS = ("optimization", "null")
"""The steps that train."""
Copy = subprocess.Popen[Any]
CALM = {"TORCH_CPP_LOG_LEVEL": "ERROR"}
"""Otherwise torch warns in every run that it looks for unused weights."""
PATIENCE = 5.0
"""Seconds for a process to end itself before it is killed."""


@register("accelerate")
@dataclass
class Accelerate(Launcher):
    processes: int = 0
    """Processes that train together; 0 means one for each GPU, or one without a GPU."""

    def __post_init__(self) -> None:
        if self.processes < 0:
            raise RecipeError(f"launcher.accelerate.processes is {self.processes}; it must be 0 or more")

    def preflight(self) -> list[str]:
        """Count the GPUs of this machine.

        Raises:
            DeviceError: there are GPUs, but fewer than processes.
        """
        if self.processes > (gpus := _gpus()) > 0:
            raise DeviceError(
                f"launcher.accelerate.processes is {self.processes}, and this machine has {gpus} GPU"
                f"{'s' * (gpus > 1)}; set launcher.accelerate.processes=0 for one process on each"
            )
        return []

    def together(self) -> int:
        return self.processes or max(1, _gpus())

    def launch(self, step: Callable[[], None], command: Sequence[str]) -> None:
        self.preflight()
        size = self.together() if command[3] in TRAINS else 1
        shared = {"WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port())}
        words = [sys.executable, "-m", "selfimprove", *command]
        with tempfile.TemporaryFile() as said:  # the output of another copy is shown only if it fails
            copies: list[Copy] = []
            try:
                for rank in range(size):
                    own = {**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)} if size > 1 else {}
                    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": said} if rank else {}
                    copies.append(
                        subprocess.Popen(words, stdin=subprocess.DEVNULL, env={**CALM, **os.environ, **own}, **quiet)
                    )
                code, rank = _first_failure(copies)
            finally:
                _end(copies)
            if code and rank:
                said.seek(0)
                print(said.read().decode(errors="replace"), end="", file=sys.stderr)
        if code:
            error = UserError(f"the step `selfimprove {' '.join(command)}` ended with exit code {code}")
            error.code = code if code > 0 else 1
            raise error


def _first_failure(copies: Sequence[Copy]) -> tuple[int, int]:
    """Wait until a process fails or all finish: (exit code, rank); (0, 0) if none failed."""
    while True:
        codes = [copy.poll() for copy in copies]
        failed = [(code, rank) for rank, code in enumerate(codes) if code]
        if failed:
            return failed[0]
        if None not in codes:
            return 0, 0
        time.sleep(0.05)


def _end(copies: Sequence[Copy]) -> None:
    """End the remaining processes, which would wait for the failed one."""
    for copy in copies:
        if copy.poll() is None:
            copy.terminate()
    for copy in copies:
        try:
            copy.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            copy.kill()
            copy.wait()


def _gpus() -> int:
    import torch

    return torch.cuda.device_count()


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]
