"""The cache of built start models. A run goes on without it, whatever is wrong with it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from selfimprove.errors import StorageError
from selfimprove.logs import MetricLog
from selfimprove.store.seal import MANIFEST, intact, read_manifest, seal

UNUSABLE = (OSError, StorageError, RuntimeError, ValueError, LookupError, TypeError, AttributeError)
"""What a cache raises that cannot be searched, read or written, or whose place is not known."""


def take(name: str, folder: Path, log: MetricLog) -> bool:
    """Copy a start model into a folder, with its metrics into the log; False if there is none that can be used."""
    try:
        shelf = _cache() / name
        if not shelf.exists() or not intact(shelf):
            return False
        metrics = dict(read_manifest(shelf)["metrics"])  # as they were: 350 steps stay a whole number
        shutil.copytree(shelf, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(MANIFEST))
    except UNUSABLE as error:
        for path in folder.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        log.note(f"the cache of start models cannot be used: {error}")
        return False
    log.note(f"start model taken from the cache: {shelf}")
    for metric, value in metrics.items():
        log.metric(metric, value)
    return True


def keep(name: str, folder: Path, content: str, log: MetricLog) -> None:
    """Copy the start model in a folder into the cache.

    Args:
        content: the hash of what it depends on.
    """
    try:
        shelf = _cache() / name
        fresh = shelf.with_name(f".{shelf.name}.{os.getpid()}")
    except UNUSABLE as error:
        log.note(f"the start model could not be cached: {error}")
        return
    try:
        shutil.copytree(folder, fresh)
        seal(fresh, {"content": content, "metrics": log.metrics})
        if shelf.exists() and intact(shelf):  # another run was faster, and a third may be reading it
            shutil.rmtree(fresh)
        else:
            shutil.rmtree(shelf, ignore_errors=True)
            fresh.rename(shelf)
    except UNUSABLE as error:
        shutil.rmtree(fresh, ignore_errors=True)
        log.note(f"the start model could not be cached in {shelf.parent}: {error}")


def _cache() -> Path:
    """The folder of the cache: $SELFIMPROVE_CACHE, else in the user's cache folder.

    Raises:
        RuntimeError: the user has no home folder.
    """
    given, elsewhere = os.environ.get("SELFIMPROVE_CACHE"), os.environ.get("XDG_CACHE_HOME")
    if given:
        return Path(given) / "models"
    return (Path(elsewhere) if elsewhere else Path.home() / ".cache") / "selfimprove" / "models"
