"""Manifests and signatures: they show whether a file is still as it was written."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from selfimprove import foreign
from selfimprove.errors import DataError
from selfimprove.records import digest
from selfimprove.safety.redaction import dumps, redact
from selfimprove.store import durable
from selfimprove.store.durable import FULL as FULL

MANIFEST, TIMES, PRUNED = "step.json", "timing.json", "pruned.json"
"""The manifest of a step with the sha256 of its files; the seconds it took, which differ from run to run; the files
that were removed on purpose, see `pruning`."""

WHOLE = 1 << 16
"""Files of at most this many bytes are read at once; for larger ones hashlib's own buffer of 256 KiB is faster."""


def seal(folder: Path, notes: dict[str, Any]) -> None:
    """Make a folder durable: fsync every file in it, then write step.json with `notes` and the sha256 of the files.

    Raises:
        DataError: the folder holds a symlink, whose target no checksum would cover.
    """
    files, folders = dict[str, Any](), list[Path]()
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            raise DataError(f"{path} is a symlink; a step has to write the file itself")
        if path.is_dir():
            folders.append(path)
            continue
        if name not in (MANIFEST, TIMES, PRUNED):
            files[name] = {"size": path.stat().st_size, "sha256": sha256(path)}
        durable.fsync(path, "seal")
    for path in reversed(folders):
        durable.fsync(path, "seal")
    write_json(folder / MANIFEST, signed({**notes, "files": files}))


def read_manifest(folder: Path) -> dict[str, Any]:
    """step.json of a sealed folder.

    Raises:
        DataError: it is not what `seal` writes.
        OSError: it cannot be read.
    """
    path = f"{folder}/{MANIFEST}"
    found = foreign.json_in(path)
    if not isinstance(found, dict) or not isinstance(found.get("files"), dict):
        raise DataError(f"{path} is damaged: it is no manifest")
    notes = (found.get("counts", {}), found.get("metrics", {}))
    if not all(isinstance(part, dict) and all(map(_is_number, part.values())) for part in notes):
        raise DataError(f"{path} is damaged: its counts or metrics are no numbers")
    return found


def _is_number(value: Any) -> bool:
    """Whether it is a number; a metric of training may be NaN, and an integer must fit into a float."""
    return isinstance(value, float) or (isinstance(value, int) and abs(value) < 1 << 60)


def damage(folder: Path) -> str:
    """What is wrong with the files of a sealed folder, in words; empty if they are intact."""
    return inspect(folder)[1]


def inspect(folder: Path) -> tuple[dict[str, Any], str]:
    """step.json of a sealed folder, and what is wrong with its files; empty if they are intact.

    Reads every file. A run of a thousand rounds has some 40,000 files, so this uses strings instead of `Path`.
    """
    try:
        if os.path.islink(folder):  # noqa: PTH114
            return {}, "a symlink is in its place"
        manifest = read_manifest(folder)
        files = {name: (entry["size"], entry["sha256"]) for name, entry in manifest["files"].items()}
        if not is_signed(manifest):
            return manifest, f"{MANIFEST} was changed"
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, DataError):
        return {}, f"{MANIFEST} is missing or damaged"
    try:
        return manifest, _difference(str(folder), files, manifest)
    except OSError as error:
        return manifest, f"it cannot be read ({error.strerror})"
    except DataError as error:
        return manifest, str(error)


def removed(folder: str, manifest: dict[str, Any]) -> frozenset[str]:
    """The names of the files of a sealed folder that were removed on purpose, as its pruned.json says.

    Raises:
        DataError: that file is damaged, or belongs to other files than these.
    """
    try:
        found = foreign.json_in(f"{folder}/{PRUNED}")
    except FileNotFoundError:
        return frozenset()
    names = found.get("files") if isinstance(found, dict) and is_signed(found) else None
    if isinstance(names, list) and found["step"] == manifest["sha256"]:
        named = [name for name in names if isinstance(name, str) and name in manifest["files"]]
        if len(named) == len(names):
            return frozenset(named)
    raise DataError(f"{PRUNED} is damaged or of another step")


def _difference(folder: str, files: dict[str, tuple[int, str]], manifest: dict[str, Any]) -> str:
    """The first difference between a folder and `files` (name -> size and sha256), in words; empty if there is none.

    A file that was removed on purpose may be there still, and is then as it was. A kill may leave an unfinished
    pruned.json.
    """
    plain, links = set[str](), list[str]()
    _names(folder, "", plain, links)
    if links:
        return f"{links[0]} is a symlink"
    gone = removed(folder, manifest) - plain if PRUNED in plain else frozenset()
    files = {name: entry for name, entry in files.items() if name not in gone}
    for name in sorted((plain - {MANIFEST, TIMES, PRUNED, f".{PRUNED}.new"}) ^ set(files)):
        return f"{name} is missing" if name in files else f"{name} does not belong to it"
    for name, (size, hashed) in files.items():
        found, now = _hashed(f"{folder}/{name}", size)
        if found != size:
            return f"{name} has another length"
        if now != hashed:
            return f"{name} was changed"
    return ""


def _names(folder: str, before: str, plain: set[str], links: list[str]) -> None:
    """Add the names of all files and of all symlinks below a folder."""
    with os.scandir(folder) as entries:
        for entry in entries:
            name = before + entry.name
            if entry.is_symlink():
                links.append(name)
            elif entry.is_dir():
                _names(entry.path, f"{name}/", plain, links)
            else:
                plain.add(name)


def _hashed(path: str, size: int = -1) -> tuple[int, str]:
    """The size of a file and its sha256; a file whose size is not `size` is not read."""
    handle, found = foreign.sized(path)
    try:
        if size not in (-1, found):
            return found, ""
        if found <= WHOLE:
            return found, hashlib.sha256(os.read(handle, WHOLE + 1)).hexdigest()
        with os.fdopen(handle, "rb", buffering=0, closefd=False) as file:
            return found, hashlib.file_digest(file, "sha256").hexdigest()
    finally:
        os.close(handle)


def intact(folder: Path) -> bool:
    """Whether the files of a sealed folder are unchanged."""
    return not damage(folder)


_SIGNATURE = '{"sha256":"%s",'


def signed(values: dict[str, Any]) -> dict[str, Any]:
    """The values with their sha256, which reveals a later change."""
    plain = {name: value for name, value in json.loads(dumps(values)).items() if name != "sha256"}
    return {**plain, "sha256": digest(plain)}


def signed_line(values: dict[str, Any]) -> str:
    """The same values, in their order, as one line of JSON that begins with the sha256 of what follows."""
    line = dumps(values, separators=(",", ":"))
    return f"{_SIGNATURE % hashlib.sha256(line.encode()).hexdigest()}{line[1:]}"


def from_line(line: str) -> dict[str, Any] | None:
    """The values of `signed_line`; None if the line was changed or cut off."""
    start = len(_SIGNATURE % ("0" * 64))
    plain = "{" + line[start:]
    if line[:start] != _SIGNATURE % hashlib.sha256(plain.encode()).hexdigest():
        return None
    return json.loads(plain)


def is_signed(values: dict[str, Any]) -> bool:
    """Whether the values match their sha256."""
    plain = {name: value for name, value in values.items() if name != "sha256"}
    said = values.get("sha256")
    return digest(plain) == said or signed(plain)["sha256"] == said  # a secret set since then


def draft(path: Path, value: Any) -> None:
    """Write JSON into an unfinished step; `commit` makes it durable together with the step's other files."""
    path.write_text(dumps(value, indent=1) + "\n", encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically: afterwards the file has either the old content or all of the new."""
    write_text(path, dumps(value, indent=1) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write text atomically; a file that already has this content stays untouched."""
    data = redact(text).encode("utf-8")
    if path.is_symlink() or not path.is_file() or path.stat().st_size != len(data) or path.read_bytes() != data:
        durable.write(path, data)


def sha256(path: Path) -> str:
    """The sha256 of a file, as 64 hex digits."""
    return _hashed(str(path))[1]
