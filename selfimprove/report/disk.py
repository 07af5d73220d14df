"""Bytes in a run folder. A run of a thousand rounds has tens of thousands of files, so counting may end early."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

SECONDS = 0.05
"""Time for counting; the rounds that are left are taken to be as large as the counted ones on average."""


def used(root: Path, allowed: float = SECONDS) -> int:
    """Bytes in a run folder; of a long run an estimate from its newest rounds. Links are not followed."""
    until = time.monotonic() + allowed
    rounds, others = list[str](), 0
    with os.scandir(root) as found:
        for one in found:
            if one.name.startswith("round_") and one.is_dir(follow_symlinks=False):
                rounds.append(one.path)
            else:
                others += _size(one)
    counted, size = 0, 0
    for path in sorted(rounds, key=lambda name: (len(name), name), reverse=True):
        if counted and time.monotonic() > until:
            break
        size, counted = size + _below(path), counted + 1
    return others + (round(size * len(rounds) / counted) if counted else 0)


def _size(entry: os.DirEntry[str]) -> int:
    with contextlib.suppress(OSError):  # it was just replaced
        if entry.is_dir(follow_symlinks=False):
            return _below(entry.path)
        return entry.stat(follow_symlinks=False).st_size
    return 0


def _below(folder: str) -> int:
    with contextlib.suppress(OSError), os.scandir(folder) as found:
        return sum(map(_size, found))
    return 0
