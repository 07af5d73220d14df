"""Run every step on a Ray cluster, on a machine with the CPUs and GPUs that it asks for.

Idea: the run itself is a light process anywhere; steps are queued until a machine is free.
Survey: none.
Paper: arXiv:1712.05889 (Ray), Moritz et al., 2018.
Algorithm:
  1. Connect to the cluster, or start one on this machine if there is no address and RAY_ADDRESS is not set.
  2. A step is a task that runs `python -m selfimprove step RUN ROUND STAGE`; a training step may ask for a different
     number of GPUs. Its output is shown when it ends.
  3. Refuse a step that asks for more than any machine of the cluster has, because it would wait forever.
  4. If a step fails, raise the error that it reported, with its exit code. It is not retried; use `resume`.
Differs: nothing to compare with. The run folder, the models and the project must have the same path on every machine. A
  step runs on one machine. Tested with a local cluster of two CPUs, not on GPUs. An extra: pip install
  'selfimprove[ray]'.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

from selfimprove.errors import EngineError, RecipeError, UserError
from selfimprove.interfaces import Launcher
from selfimprove.registry import register

TRAINS = ("optimization", "null")
"""The steps that train."""
MISSING = "launcher ray needs the package ray: pip install 'selfimprove[ray]', or set launcher=inline"


@register("ray", paper="1712.05889")
@dataclass
class Ray(Launcher):
    elsewhere: ClassVar[bool] = True
    address: str | None = None
    """Address of the cluster for ray.init: `auto` or HOST:PORT; null uses RAY_ADDRESS or starts a cluster here."""
    num_cpus: float = 1.0
    """CPUs that a step asks for."""
    num_gpus: float = 0.0
    """GPUs that a step asks for."""
    train_gpus: float | None = None
    """GPUs that a training step asks for; null means num_gpus."""

    def __post_init__(self) -> None:
        if self.num_cpus < 0 or self.num_gpus < 0 or (self.train_gpus or 0) < 0:
            raise RecipeError("launcher.ray takes num_cpus, num_gpus and train_gpus of 0 or more")

    def preflight(self) -> list[str]:
        if not find_spec("ray"):
            raise EngineError(MISSING)
        return []

    def launch(self, step: Callable[[], None], command: Sequence[str]) -> None:
        ray, gpus = self._connected(), self.num_gpus
        if command[3] in TRAINS and self.train_gpus is not None:
            gpus = self.train_gpus
        self._fits(ray.nodes(), gpus)
        words = [command[0], str(Path(command[1]).resolve()), *command[2:]]  # a worker has its own working folder
        try:
            task = ray.remote(_carry_out).options(num_cpus=self.num_cpus, num_gpus=gpus, max_retries=0).remote(words)
            try:
                code, out, err = ray.get(task)
            except KeyboardInterrupt:
                ray.cancel(task)  # interrupts the worker, which ends its step
                raise
        except ray.exceptions.RayError as error:
            raise EngineError(f"ray could not run the step {' '.join(command[2:4])}: {_last(error)}") from error
        print(out, end="")
        print(err, end="", file=sys.stderr)
        if code:
            failure = UserError(f"the step `selfimprove {' '.join(command)}` ended with exit code {code}")
            failure.code = code if code > 0 else 1
            raise failure

    def _fits(self, nodes: Sequence[Mapping[str, Any]], gpus: float) -> None:
        """Check that some machine has the CPUs and GPUs that a step asks for; otherwise it would wait forever.

        Raises:
            EngineError: no machine has them.
        """
        has = [(node["Resources"].get("CPU", 0), node["Resources"].get("GPU", 0)) for node in nodes if node["Alive"]]
        if not any(self.num_cpus <= cpus and gpus <= cards for cpus, cards in has):
            found = " and ".join(f"{cpus:g} CPUs with {cards:g} GPUs" for cpus, cards in sorted(set(has))) or "none"
            raise EngineError(
                f"launcher.ray asks for {self.num_cpus:g} CPUs and {gpus:g} GPUs on one machine, and no machine of the "
                f"cluster has them (it has: {found}); lower num_cpus, num_gpus or train_gpus"
            )

    def _connected(self) -> Any:
        """Ray, connected to a cluster."""
        try:
            ray = importlib.import_module("ray")
        except ImportError as error:
            raise EngineError(MISSING) from error
        if not ray.is_initialized():
            try:
                ray.init(address=self.address, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
            except Exception as error:  # Ray raises plain exceptions here
                raise EngineError(f"no Ray cluster could be reached or started: {_last(error)}") from error
        return ray


def _last(error: Exception) -> str:
    """The last line of an error message."""
    return (str(error).strip().splitlines() or [type(error).__name__])[-1]


def _carry_out(words: Sequence[str]) -> tuple[int, str, str]:
    """Run a step on a machine of the cluster; returns its exit code and its output."""
    called = [sys.executable, "-m", "selfimprove", *words]
    done = subprocess.run(called, check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr
