"""The command `doctor`: what is installed, what is missing, and the commands that install it."""

from __future__ import annotations

import os
import platform
import shutil
from importlib import metadata
from pathlib import Path

NEEDED = ("torch", "transformers", "trl", "datasets", "accelerate", "hydra-core", "omegaconf", "math-verify", "scipy")
OPTIONAL = {"vllm": "vllm", "lm-eval": "eval", "tensorboard": "track", "reasoning-gym": "reasoning_gym"}
"""Package -> its extra."""


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
    return rows


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
