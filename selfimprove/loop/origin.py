"""What a run began with: environment.json, and how a recipe differs from it."""

from __future__ import annotations

import json
from typing import Any

from selfimprove.errors import DataError
from selfimprove.store.run_folder import RunDir
from selfimprove.store.seal import is_signed


def began(folder: RunDir) -> dict[str, Any]:
    """environment.json of a run.

    Raises:
        DataError: it was changed.
    """
    path = folder.root / "environment.json"
    try:
        found = json.loads(path.read_text())
        if not isinstance(found["settings"], dict):
            raise TypeError("its settings are no mapping")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(f"{path} is damaged: {error}. Restore the file, or start a new run") from error
    if "sha256" in found and not is_signed(found):
        raise DataError(f"{path} is damaged: it is not what was written. Restore the file, or start a new run")
    return found


def changes(before: Any, now: Any, where: str = "") -> list[str]:
    """The differences between two recipes, each as `key was a, is b`."""
    return [f"{place} was {old!r}, is {new!r}" for place, old, new in changed_values(before, now, where)]


def changed_values(before: Any, now: Any, where: str = "") -> list[tuple[str, Any, Any]]:
    """The differences between two recipes: where, what was there, what is there."""
    if isinstance(before, dict) and isinstance(now, dict):
        places = ((f"{where}.{key}".lstrip("."), key) for key in dict.fromkeys([*before, *now]))
        return [one for place, key in places for one in changed_values(before.get(key), now.get(key), place)]
    return [] if before == now else [(where, before, now)]
