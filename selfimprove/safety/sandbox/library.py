"""What a program may read: the interpreter's library and the C libraries. No packages, and nothing of this project.

The folder that holds this package is never shown, wherever it lies: in a checkout it also holds runs, data and
history, and as `site-packages` it holds whatever else the user has installed. Standard library only.
"""

from __future__ import annotations

import os
import re
import sys
import sysconfig
from dataclasses import dataclass

_ROOTS = ("/usr/lib", "/usr/lib64", "/lib", "/lib64")
"""The folders of the C libraries."""
_PARTS = ("locale", "gconv", "ossl-modules", "engines-3", str(sysconfig.get_config_var("MULTIARCH")))
"""The folders in them that C libraries need."""
_SHARED = re.compile(r"\.so(?:\.\d+)*$")
_PACKAGES = ("site-packages", "dist-packages")
_FILES = ("/usr/share/zoneinfo", "/etc/ld.so.cache", "/dev/null", "/dev/urandom", "/dev/random", "/dev/zero")


@dataclass(frozen=True)
class Library:
    """The files of the host that a program may read."""

    shown: list[str]
    """Paths to show in a root of their own."""
    hidden: list[str]
    """Folders below them that are covered there."""
    readable: list[str]
    """Files and folders to read, none of them hidden; a folder with all that is in it."""


def library(own: str) -> Library:
    """The library of this interpreter.

    Args:
        own: the folder that holds this package.
    """
    standard = [os.path.realpath(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")]
    folder = os.path.realpath(sys.base_prefix + "/lib")
    beside = [f"{folder}/{name}" for name in os.listdir(folder) if _SHARED.search(name)] if folder not in _ROOTS else []  # noqa: PTH208
    roots = [*dict.fromkeys(os.path.realpath(root) for root in _ROOTS if os.path.isdir(root))]  # noqa: PTH112
    hidden = [f"{parent}/{name}" for parent in standard for name in _PACKAGES]
    hidden += [
        f"{root}/{name}"
        for root in roots
        for name in os.listdir(root)  # noqa: PTH208
        if name.startswith("python") and not _holds(f"{root}/{name}", standard)
    ]
    hidden = [path for path in dict.fromkeys([*hidden, os.path.realpath(own)]) if os.path.isdir(path)]  # noqa: PTH112
    readable = [part for root in roots for part in _parts(root, standard)]
    readable = [part for path in [*readable, *standard, *beside, *_FILES] for part in _without(path, hidden)]
    shown = [*_ROOTS, *standard, *beside, *_FILES]
    shown = [path for path in shown if not any(path.startswith(other + "/") for other in shown)]
    covered = [path for path in hidden if any(path.startswith(root + "/") for root in (*roots, *standard))]
    return Library([*dict.fromkeys(shown)], covered, [*dict.fromkeys(readable)])


def _holds(path: str, others: list[str]) -> bool:
    """Whether a path is one of others, or a folder above one."""
    return any(other == path or other.startswith(path + "/") for other in others)


def _parts(root: str, standard: list[str]) -> list[str]:
    """What C libraries need of their folder: the libraries, and few folders."""
    found = []
    for name in os.listdir(root):  # noqa: PTH208
        path = f"{root}/{name}"
        if name in _PARTS or (_SHARED.search(name) and not os.path.isdir(path)):  # noqa: PTH112
            found.append(path)
    return [path for path in found if path not in standard]


def _without(path: str, hidden: list[str]) -> list[str]:
    """A path, or what is in it if something in it is hidden."""
    if path in hidden:
        return []
    if not _holds(path, hidden):
        return [path]
    return [part for name in sorted(os.listdir(path)) for part in _without(f"{path}/{name}", hidden)]  # noqa: PTH208
