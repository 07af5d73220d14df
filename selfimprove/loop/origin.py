"""The settings that a run began with (environment.json), and their differences to a recipe."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from selfimprove.errors import DataError, RecipeError, listed
from selfimprove.loop.shapes import ENVIRONMENT
from selfimprove.store.run_folder import RunDir
from selfimprove.store.seal import is_signed
from selfimprove.store.shape import read

ACCEPTED = ("acquisition", "reward", "selection", "sampler", "optimization", "refinement", "controller")
"""Slots whose options may change during a run: they affect what is learned, not how it is measured."""
RESTORE = "Restore the file, or start a new run"


def began(folder: RunDir) -> dict[str, Any]:
    """environment.json of a run.

    Raises:
        DataError: it was changed.
    """
    path = folder.root / "environment.json"
    found = read(path, ENVIRONMENT, RESTORE)
    if "sha256" in found and not is_signed(found):
        raise DataError(f"{path} is damaged: it was changed. {RESTORE}")
    return found


def as_begun(now: Mapping[str, Any], then: Mapping[str, Any], *told: Mapping[str, Any]) -> dict[str, Any]:
    """Settings without the options that the program gained since the run began.

    Their defaults do what the program did before, so the run continues and its steps keep their fingerprints. A new
    option that the recipe or an override sets is kept.

    Args:
        then: the settings that the run began with.
        told: the settings of recipe.yaml and the overrides of a round, each as nested mappings.
    """
    kept = dict[str, Any]()
    for key, value in now.items():
        had, said = then.get(key), [one[key] for one in told if key in one]
        if isinstance(value, dict) and isinstance(had, dict):
            kept[key] = as_begun(value, had, *(one for one in said if isinstance(one, dict)))
        elif key in then or said:
            kept[key] = value
    return kept


def acceptable(place: str, new: Any, then: Mapping[str, Any]) -> bool:
    """Whether `resume --accept-changes` takes the new value of an option, given what the run began with."""
    slot, method, _ = [*place.split("."), "", ""][:3]
    return slot in ACCEPTED and method in then[slot] and not isinstance(new, dict) and new is not None


def refuse_changes(root: Path, then: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Refuse a recipe.yaml that was changed since the run began.

    Raises:
        RecipeError: it was; the message says whether the change can be accepted.
    """
    if changed := changes(then, now):
        taken = all(acceptable(place, new, then) for place, _, new in changed_values(then, now))
        accept = f"accept the change: selfimprove resume {root} --accept-changes"
        raise RecipeError(
            f"{root / 'recipe.yaml'} was changed since the run began: {listed(changed)}. Restore it, or "
            f"{accept if taken else f'start a new run with it: selfimprove run {root}/recipe.yaml'}"
        )


def refuse_gaps(root: Path, then: Mapping[str, Any], told: Mapping[str, Any]) -> None:
    """Refuse a recipe.yaml that has lost options: it was written with all, and their defaults may be the same values.

    Raises:
        RecipeError: it has.
    """
    if lost := missing(then, told):
        raise RecipeError(f"{root / 'recipe.yaml'} is damaged: it was written with {lost[0]}, which is gone. {RESTORE}")


def missing(then: Mapping[str, Any], told: Mapping[str, Any], where: str = "") -> list[str]:
    """The options of a run's settings that another mapping does not have."""
    found = list[str]()
    for key, value in then.items():
        place, other = f"{where}.{key}".lstrip("."), told.get(key)
        if key not in told:
            found.append(place)
        elif isinstance(value, dict):
            found += missing(value, other, place) if isinstance(other, dict) else [place] * bool(value)
    return found


def nested(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """{"slot.method.option": value} as nested mappings."""
    made = dict[str, Any]()
    for place, value in overrides.items():
        *above, name = place.split(".")
        inner = made
        for part in above:
            inner = inner.setdefault(part, {})
        inner[name] = value
    return made


def changes(before: Any, now: Any, where: str = "") -> list[str]:
    """The differences between two recipes, each as `key was a, is b`."""
    return [f"{place} was {old!r}, is {new!r}" for place, old, new in changed_values(before, now, where)]


def changed_values(before: Any, now: Any, where: str = "") -> list[tuple[str, Any, Any]]:
    """The differences between two recipes: (key, old value, new value)."""
    if isinstance(before, dict) and isinstance(now, dict):
        places = ((f"{where}.{key}".lstrip("."), key) for key in dict.fromkeys([*before, *now]))
        return [one for place, key in places for one in changed_values(before.get(key), now.get(key), place)]
    return [] if before == now else [(where, before, now)]
