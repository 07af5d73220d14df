"""The command `doctor`: what is installed and missing, with the commands that install it; or a page on a model."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

from rich.table import Table

from selfimprove.cli import advice
from selfimprove.cli.console import err

NEEDED = ("torch", "transformers", "trl", "datasets", "accelerate", "hydra-core", "omegaconf", "math-verify", "scipy")
OPTIONAL = {"vllm": "vllm", "lm-eval": "eval", "tensorboard": "track", "reasoning-gym": "reasoning_gym"}
"""Package -> its extra."""
ADVICE = advice.ADVICE


def findings() -> list[tuple[str, str, str]]:
    """(what, found, the command that fixes it or "") for each item."""
    rows = [("python", platform.python_version(), "")]
    for package in NEEDED:
        rows.append((package, version(package), "" if version(package) else "pip install -U selfimprove"))
    for package, extra in OPTIONAL.items():
        found = version(package)
        rows.append((f"{package} (optional)", found, "" if found else f"pip install 'selfimprove[{extra}]'"))
    rows.append(("devices", *_devices()))
    threads = os.environ.get("OMP_NUM_THREADS", "not set")
    rows.append(("OMP_NUM_THREADS", f"{threads}, {cores()} cores", ""))
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    rows.append(("free disk here", f"{free:.1f} GiB", "" if free > 2 else "make room before a long run"))
    rows += [advice.sandbox(), advice.hub()]
    return [*rows, *advice.sentences(rows)]


def cores() -> int:
    """Number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def version(package: str) -> str:
    """The installed version of a package; "" without one."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def _devices() -> tuple[str, str]:
    try:
        import torch
    except ImportError:
        return "", "pip install -U selfimprove"
    if not torch.cuda.is_available():
        return "cpu only", ""
    names = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
    return ", ".join(f"{gpu.name} {gpu.total_memory / 2**30:.0f} GiB" for gpu in names), ""


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], title: str | None = None) -> Table:
    """A table of texts."""
    made = Table(title=title)
    for column in columns:
        made.add_column(column, overflow="fold")
    for row in rows:
        made.add_row(*row)
    return made


def page(folder: Path, data: Path | None, dtype: str) -> dict[str, Any]:
    """The page on a model folder; what is being done is said on standard error.

    Raises:
        UserError: the folder or the file does not exist.
    """
    from selfimprove.studies.model_page import page_of

    return asdict(page_of(folder, data, dtype, lambda text: err.print(f"{text} ...")))


def tables(found: dict[str, Any]) -> Iterator[Table]:
    """A page as tables: what was found, and what will not work."""
    from selfimprove.studies.model_page import Page, table_of

    rows, before = list[tuple[str, str, str]](), ""
    for section, what, said in table_of(Page(**found)):
        rows.append((section if section != before else "", what, said))
        before = section
    if rows:
        yield table(("", "what", "found"), rows, found["folder"])
    trouble = [(one["what"], one["do"]) for one in found["trouble"]]
    yield table(("what will not work", "what to do"), trouble or [("nothing that was found", "")])
