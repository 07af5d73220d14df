"""What the benches share: the machine line, a table, the JSON file, and a run of the program in its own process."""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

COMMAND = str(Path(sys.executable).with_name("selfimprove"))
"""The program, as this environment has installed it."""


@dataclass
class Run:
    """One finished run of the command line."""

    seconds: float
    """Wall time from the command to its end."""
    cpu_seconds: float
    """CPU time of the same; on a machine that other programs slow down it is nearer to what an idle one would take."""
    summary: dict[str, Any]
    """Its summary.json."""
    output: str
    """What it printed, standard error included."""


def arguments(text: str) -> argparse.ArgumentParser:
    """A parser with the options that every bench has; `text` is the docstring of the bench."""
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers to this file")
    return parser


def machine() -> dict[str, Any]:
    """Print the machine line and return it. Call it before torch is imported: it fixes the number of threads."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    os.environ.setdefault("OMP_NUM_THREADS", str(cores))
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    found = {
        "cores": cores,
        "threads": int(os.environ["OMP_NUM_THREADS"]),
        "python": platform.python_version(),
        "torch": metadata.version("torch"),
    }
    print(f"machine: {describe(found)}", flush=True)
    return found


def describe(found: dict[str, Any]) -> str:
    """The machine in words."""
    return f"{found['cores']} cores, {found['threads']} threads, Python {found['python']}, torch {found['torch']}"


def show(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a table; numbers stand to the right."""
    table = Table()
    for column in columns:
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(*(f"{value:.2f}" if isinstance(value, float) else str(value) for value in row))
    Console(width=110).print(table)


def save(file: Path | None, machine: dict[str, Any], **numbers: Any) -> None:
    """Write the numbers with the command that made them."""
    if file is None:
        return
    script = Path(sys.argv[0])
    words = [word for word in sys.argv[1:] if word != "--json" and word != str(file)]
    command = " ".join(["python", f"scripts/bench/{script.name}", *words])
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"command": command, "machine": machine, **numbers}, indent=1) + "\n")


def run(recipe: str, seed: int, cache: Path | None = None, overrides: Sequence[str] = ()) -> Run:
    """`selfimprove run RECIPE --seed SEED` in a process and a folder of its own.

    Args:
        cache: where models built by earlier runs are kept; None is an empty one.
        overrides: changes to the recipe.
    """
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "SELFIMPROVE_CACHE": str(cache or Path(folder) / "cache"), "COLUMNS": "110"}
        named = str(Path(recipe).resolve()) if Path(recipe).is_file() else recipe
        command = [COMMAND, "run", named, "--seed", str(seed), *overrides]
        began, cpu = time.perf_counter(), children()
        done = subprocess.run(
            command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        seconds, cpu = time.perf_counter() - began, children() - cpu
        result = Path(folder) / "runs" / Path(recipe).stem / "summary.json"
        if not result.exists():
            sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}")
        return Run(seconds=seconds, cpu_seconds=cpu, summary=json.loads(result.read_text()), output=done.stdout)


def children() -> float:
    """CPU seconds of all child processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
