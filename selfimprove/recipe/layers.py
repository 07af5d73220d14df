"""Recipes that build on others: `defaults: [rest_em, _self_]` takes rest_em and changes what this file says.

A recipe builds on shipped recipes, and on files beside it; a recipe from a stranger reaches no others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfimprove.errors import RecipeError
from selfimprove.recipe import yaml_file
from selfimprove.recipe.places import NAME
from selfimprove.registry import SLOTS, nearest

SCHEMA, SELF = "recipe_schema", "_self_"
"""Entries that name no method: `recipe_schema` is read and changes nothing, `_self_` stands for the file's own values.
Both may be left out."""
DEEPEST = 8
"""Most recipes that build on each other."""


@dataclass(frozen=True)
class Layer:
    """One of the files that a recipe is made of."""

    path: Path
    methods: list[dict[str, Any]]
    """Its defaults: `{slot: names}`."""
    body: dict[str, Any]
    """Its other keys, without `bench`."""
    bench: dict[str, Any]
    """What it changes for the tiny model."""


def layers(path: Path, shipped: Path, below: Sequence[Path] = ()) -> list[Layer]:
    """The files of a recipe: those that it builds on first, then its own.

    Args:
        shipped: the folder of the shipped recipes.
        below: the files that build on this one.

    Raises:
        RecipeError: a file cannot be read, builds on itself, or on something that is no recipe.
    """
    if path in below:
        names = " -> ".join(one.stem for one in (*below[below.index(path) :], path))
        raise RecipeError(f"{path}: these recipes build on each other in a circle: {names}")
    if len(below) >= DEEPEST:
        raise RecipeError(f"{path}: at most {DEEPEST} recipes may build on each other")
    body = yaml_file.read(path)
    given, bench = body.pop("defaults", []), body.pop("bench", None) or {}
    if not isinstance(given, list):
        raise RecipeError(f"{path}: defaults must be a list such as `- task: chain_sums`")
    if not isinstance(bench, dict):
        raise RecipeError(f"{path}: bench must hold settings for the tiny model, such as `rounds: 2`")
    found, methods, own = list[Layer](), list[dict[str, Any]](), False
    named = _named(body, path)
    for item in given:
        if isinstance(item, dict) and len(item) == 1:
            methods.append(item)
        elif item == SELF:
            own = True
        elif item != SCHEMA:
            base = _base(item, path, shipped)
            if own or methods:
                raise RecipeError(f"{path}: {item!r} must stand first in defaults: what follows changes it")
            found += layers(base, shipped, (*below, path))
    return [*found, Layer(path, [*methods, *named], body, bench)]


def _named(body: dict[str, Any], path: Path) -> list[dict[str, Any]]:
    """The methods that a file names in place of a slot's options: `selection: [dedup, minhash_dedup: {n: 8}]`.

    Options that stand with a name stay in `body`.

    Raises:
        RecipeError: an item of the list is neither a name nor one name with its options.
    """
    found = list[dict[str, Any]]()
    for slot in (one for one in SLOTS if isinstance(body.get(one), str | list)):
        items = [body[slot]] if isinstance(body[slot], str) else body[slot]
        options = dict[str, Any]()
        for item in items:
            if isinstance(item, dict) and len(item) == 1:
                options |= item
            elif not isinstance(item, str):
                raise RecipeError(
                    f"{path}: {slot} takes names of methods, or `- name: {{option: value}}`, not {item!r}"
                )
        found.append({slot: [one if isinstance(one, str) else next(iter(one)) for one in items]})
        body[slot] = options
    return found


def _base(item: Any, path: Path, shipped: Path) -> Path:
    """The file of a recipe that another one builds on.

    Raises:
        RecipeError: there is none, or it lies elsewhere.
    """
    name = item.removesuffix(".yaml") if isinstance(item, str) else ""
    known = NAME.fullmatch(name) is not None
    for folder in (path.parent, shipped) if known else ():
        file = folder / f"{name}.yaml"
        if file.is_file() and file != path:
            return file
    names = sorted(one.stem for one in shipped.glob("*.yaml"))
    near = nearest(name, names).partition(" Choose from")[0] if known else ""
    raise RecipeError(
        f"{path}: cannot read {item!r} in defaults; write `- slot: method`, or first the name of a recipe to build on: "
        f"a shipped one, or a file in the same folder.{near}"
    )


def merged(found: Sequence[Layer], tiny: bool) -> dict[str, Any]:
    """The values of all layers, later ones over earlier ones.

    Args:
        tiny: whether each layer's `bench` counts.
    """
    body: dict[str, Any] = {}
    for layer in found:
        body = merge(body, layer.body)
        body = merge(body, layer.bench) if tiny else body
    return body


def merge(body: Any, over: Any) -> Any:
    """The values of `over` in those of `body`."""
    if not isinstance(body, dict) or not isinstance(over, dict):
        return over
    return {**body, **{key: merge(body[key], value) if key in body else value for key, value in over.items()}}
