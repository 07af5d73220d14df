"""Manifests and signatures: whether a file is what was written."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from selfimprove.errors import DataError
from selfimprove.records import digest
from selfimprove.safety.redaction import dumps, redact
from selfimprove.store import durable
from selfimprove.store.durable import FULL as FULL

MANIFEST, TIMES = "step.json", "timing.json"
"""What is said of a step, with the sha256 of its files; and how long it took, which no two runs share."""


def seal(folder: Path, notes: dict[str, Any]) -> None:
    """Make a folder durable: fsync every file in it, then write step.json with `notes` and the sha256 of the files.

    Raises:
        DataError: there is a symlink in it, whose target nobody would watch.
    """
    files, folders = dict[str, Any](), list[Path]()
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            raise DataError(f"{path} is a symlink; a step has to write the file itself")
        if path.is_dir():
            folders.append(path)
            continue
        if name not in (MANIFEST, TIMES):
            files[name] = {"size": path.stat().st_size, "sha256": sha256(path)}
        durable.fsync(path, "seal")
    for path in reversed(folders):
        durable.fsync(path, "seal")
    write_json(folder / MANIFEST, signed({**notes, "files": files}))


def read_manifest(folder: Path) -> dict[str, Any]:
    """step.json of a sealed folder."""
    return json.loads((folder / MANIFEST).read_text())


def fault(folder: Path) -> str:
    """What is wrong with the files of a sealed folder; empty where they are as they were."""
    try:
        manifest = read_manifest(folder)
        files = {name: (entry["size"], entry["sha256"]) for name, entry in manifest["files"].items()}
        if not is_signed(manifest):
            return f"{MANIFEST} was changed"
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return f"{MANIFEST} is missing or damaged"
    try:
        found = {str(path.relative_to(folder)): path for path in folder.rglob("*")}
        links = [name for name, path in found.items() if path.is_symlink()]
        if links:
            return f"{links[0]} is a symlink"
        plain = {name for name, path in found.items() if not path.is_dir()} - {MANIFEST, TIMES}
        for name in sorted(plain ^ set(files)):
            return f"{name} is missing" if name in files else f"{name} does not belong to it"
        for name, (size, _) in files.items():
            if found[name].stat().st_size != size:
                return f"{name} has another length"
        return next((f"{name} was changed" for name, (_, hashed) in files.items() if sha256(found[name]) != hashed), "")
    except OSError as error:
        return f"it cannot be read ({error.strerror})"


def intact(folder: Path) -> bool:
    """Whether the files of a sealed folder are as they were."""
    return not fault(folder)


def signed(values: dict[str, Any]) -> dict[str, Any]:
    """The same values with the sha256 over them, which shows a later change."""
    plain = {name: value for name, value in json.loads(dumps(values)).items() if name != "sha256"}
    return {**plain, "sha256": digest(plain)}


def is_signed(values: dict[str, Any]) -> bool:
    """Whether the values are those that were signed."""
    return signed(values)["sha256"] == values.get("sha256")


def draft(path: Path, value: Any) -> None:
    """Write JSON into a step that is not finished; `commit` makes it durable with all else in there."""
    path.write_text(dumps(value, indent=1) + "\n", encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write JSON so that the file is either the old one or the whole new one."""
    write_text(path, dumps(value, indent=1) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write text so that the file is either the old one or the whole new one; one that has it already is left alone."""
    data = redact(text).encode("utf-8")
    if path.is_symlink() or not path.is_file() or path.read_bytes() != data:
        durable.write(path, data)


def sha256(path: Path) -> str:
    """The sha256 of a file, as 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
