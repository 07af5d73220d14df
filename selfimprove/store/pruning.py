"""Removes files of a finished step on purpose, so that the step stays valid without them.

`pruned.json` names them, bound to the step's manifest, and is durable before the first one goes. So a kill at any point
leaves a step that is valid: with all files, or with some of them removed, which the next attempt goes on with.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from selfimprove.errors import DataError
from selfimprove.store import durable
from selfimprove.store.seal import PRUNED, damage, read_manifest, removed, signed, write_json


def prune(folder: Path, names: Iterable[str]) -> int:
    """Remove files of a sealed folder, and those that an earlier attempt left; returns the bytes that are freed.

    Args:
        names: of files in its manifest.

    Raises:
        DataError: the folder is damaged; then nothing is removed.
        StorageError: the disk fails.
    """
    if wrong := damage(folder):
        raise DataError(f"{folder} is damaged: {wrong}")
    manifest = read_manifest(folder)
    before = removed(str(folder), manifest)
    wanted = sorted({*before, *names})
    if {*wanted} != before:
        write_json(folder / PRUNED, signed({"step": manifest["sha256"], "files": wanted}))
    freed = 0
    for name in wanted:
        path = folder / name
        if path.exists():
            freed += path.stat().st_size
            durable.remove(path)
    for place in sorted({(folder / name).parent for name in wanted}, key=lambda path: -len(path.parts)):
        if place.is_dir():
            durable.fsync(place, "prune")
        while place != folder and place.is_dir() and not os.listdir(place):  # noqa: PTH208
            durable.remove(place)
            place = place.parent
    return freed


def pruned(folder: Path) -> frozenset[str]:
    """The names of the files that were removed from a sealed folder on purpose.

    Raises:
        DataError: its pruned.json is damaged.
    """
    if not (folder / PRUNED).exists():
        return frozenset()
    return removed(str(folder), read_manifest(folder))
