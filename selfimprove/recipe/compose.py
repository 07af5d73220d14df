"""A recipe: one YAML file that names a method for each slot. Load, override, check the flow, save a runnable copy.

Hydra's `compose` does the merging and the types; `yaml_file` reads the file, because recipes may come from strangers.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

from hydra import compose, initialize
from hydra.core.config_store import ConfigStore
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from selfimprove import registry
from selfimprove.errors import RecipeError
from selfimprove.recipe import yaml_file
from selfimprove.recipe.checks import (
    check_counts,
    check_engines,
    check_flow,
    check_judges,
    check_parts,
    check_ranges,
    check_types,
)
from selfimprove.recipe.layers import Layer, layers, merged
from selfimprove.recipe.overrides import check as check_override
from selfimprove.recipe.overrides import for_hydra
from selfimprove.recipe.places import find as find
from selfimprove.recipe.places import shipped as shipped
from selfimprove.recipe.samplers import check_sampler
from selfimprove.recipe.schema import DEFAULTS, Recipe, Settings
from selfimprove.registry import Find, nearest

Load = Callable[[str | Path, Sequence[str]], tuple[Recipe, Settings]]
"""(recipe, overrides) -> its methods and its values, as `load` gives them."""

ConfigStore.instance().store(name="recipe_schema", node=Recipe)


def load(name: str | Path, overrides: Sequence[str] = (), method: Find = registry.find) -> tuple[Recipe, Settings]:
    """Compose a recipe: its file, then overrides such as `rounds=5`, `model=pretrained`, `task.jsonl.path=FILE`.

    `bench=false` ignores the recipe's `bench` block, which scales it down for the tiny model.

    Args:
        method: finds a method by its name; it may know methods that are not registered.

    Raises:
        RecipeError: something in it cannot be used; the message is one line.
        MissingError: no such recipe.
    """
    path = find(str(name))
    found = layers(path, shipped())
    chosen = _defaults(found, method)
    named = chosen["engine"]
    whole = "bench=false" in overrides  # the recipe's own sizes, with the tiny model too
    values = [override for override in overrides if override != "bench=false" and not _choose(override, chosen, method)]
    body = merged(found, tiny=chosen["model"] == ["tiny"] and not whole)
    for key in body:
        if key not in {f.name for f in fields(Recipe)}:
            raise RecipeError(f"{path}: unknown key {key!r}.{nearest(key, [f.name for f in fields(Recipe)])}")
    _hand_over(body, named, chosen["engine"], values, method)
    for slot in registry.SLOTS:
        _prune(slot, body, chosen[slot], path, method)
    check_types(body, path, method)
    for value in values:
        check_override(value, chosen, method)
    store = ConfigStore.instance()
    methods = {slot: {name: method(slot, name).method for name in chosen[slot]} for slot in registry.SLOTS}
    store.store(name="recipe_methods", node=OmegaConf.create(methods))
    store.store(name="recipe", node={"defaults": ["recipe_schema", "recipe_methods", "_self_"], **body})
    try:
        with initialize(config_path=None, version_base="1.3"), _lists_are_whole(values, path):
            config = compose("recipe", overrides=[for_hydra(value, method) for value in values])
        plain = OmegaConf.to_container(config, resolve=True, enum_to_str=True)
        assert isinstance(plain, dict)
        settings: Settings = {str(key): value for key, value in plain.items()}
        check_ranges(settings, path, method)
        recipe = OmegaConf.to_object(config)
    except (HydraException, OmegaConfBaseException, ValueError, ArithmeticError, RecursionError) as error:
        raise RecipeError(f"{path}: {_explain(error)}") from error
    assert isinstance(recipe, Recipe)
    check_counts(recipe, path)
    check_engines(recipe, path)
    check_parts(recipe, path)
    check_judges(recipe, path)
    check_flow(recipe)
    check_sampler(recipe, path)
    return recipe, settings


@contextmanager
def _lists_are_whole(values: Sequence[str], path: Path) -> Iterator[None]:
    """Refuse an override such as `model.tiny.roles.x=a`: OmegaConf reads its x as a number, a place in the list."""
    try:
        yield
    except ValueError as error:
        inner = [key for key in (value.partition("=")[0] for value in values) if key.count(".") > 2]
        if not inner:
            raise
        whole = inner[0].rpartition(".")[0]
        raise RecipeError(f"{path}: {inner[0]}: {whole} is a list; write {whole}=[a,b]") from error


def runnable(settings: Settings) -> str:
    """The resolved recipe as YAML that `load` reads."""
    defaults = [{slot: list(settings[slot])} for slot in registry.SLOTS if slot in settings]
    return yaml_file.dump({"defaults": defaults, **settings})


def _defaults(found: Sequence[Layer], method: Find) -> dict[str, list[str]]:
    """The methods of each slot, from the defaults of all layers."""
    chosen = {slot: list(names) for slot, names in DEFAULTS.items()}
    for item in (item for layer in found for item in layer.methods):
        [(slot, names)] = item.items()
        _set_slot(slot, names, chosen, method)
    return chosen


def _choose(override: str, chosen: dict[str, list[str]], method: Find) -> bool:
    """Apply an override that swaps the methods of a slot, `slot=name` or `slot=[a,b]`; False for any other."""
    match = re.fullmatch(r"(\w+)=(.*)", override)
    if not match or match[1] not in registry.SLOTS:
        return False
    names = [part.strip(" '\"") for part in match[2].strip("[]").split(",") if part.strip()]
    _set_slot(match[1], names, chosen, method)
    return True


def _set_slot(slot: str, names: Any, chosen: dict[str, list[str]], method: Find) -> None:
    if slot not in registry.SLOTS:
        raise RecipeError(f"no slot is called {slot!r}.{nearest(slot, registry.SLOTS)}")
    names = [names] if isinstance(names, str) else [] if names is None else names
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise RecipeError(f"{slot} takes the name of a method or a list of names, not {names!r}")
    for name in names:
        method(slot, name)
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise RecipeError(f"{slot} names {twice[0]!r} twice; a slot can have each method once")
    chosen[slot] = names


def _hand_over(body: dict[str, Any], named: list[str], chosen: list[str], values: list[str], method: Find) -> None:
    """Give an engine that was swapped in what the recipe sets for the one swapped out, where both have the option.

    Else completions would fall to another length than the recipe trains with. An engine with roles is left as it is.
    """
    given = body.get("engine")
    if not isinstance(given, dict):
        return
    helpers = {value.split(".")[1] for value in values if re.match(r"engine\.\w+\.roles=", value)}
    options = {name: given.get(name) or {} for name in (*named, *chosen) if name not in helpers}
    own = {name: said for name, said in options.items() if isinstance(said, dict) and not said.get("roles")}
    for new in own.keys() - set(named):
        known = registry.option_names(method("engine", new).method)
        for old in own.keys() - set(chosen):
            given[new] = {name: value for name, value in own[old].items() if name in known} | own[new]


def _prune(slot: str, body: dict[str, Any], chosen: list[str], path: Path, method: Find) -> None:
    """Drop the options of methods that an override swapped out, and refuse options of unknown methods."""
    options = body.get(slot)
    if options is None:
        body.pop(slot, None)
        return
    if not isinstance(options, dict):
        raise RecipeError(f"{path}: {slot} must map method names to options; name the methods themselves in defaults")
    for name in list(options):
        method(slot, name)
        if name not in chosen:
            del options[name]
        elif options[name] is None:
            options[name] = {}
        elif not isinstance(options[name], dict):
            raise RecipeError(f"{path}: {slot}.{name} must map options to values, not {options[name]!r}")


def _explain(error: Exception) -> str:
    """Hydra's message in one line, with the nearest valid name where an option is unknown."""
    text = str(error)
    unknown = re.search(r"Key '(\w+)' not in '(\w+)'", text)
    if unknown:
        entry = next((e for e in registry.METHODS.values() if e.method.__name__ == unknown[2]), None)
        if entry:
            known = registry.option_names(entry.method)
            return f"{entry.slot} {entry.name!r} has no option {unknown[1]!r}.{nearest(unknown[1], known)}"
    where = re.search(r"full_key: (\S+)", text)
    if "missing mandatory value" in text and where:
        return f"{where[1]} is required: add {where[1]}=VALUE"
    lines = [line.strip() for line in text.splitlines() if not line.startswith("In 'recipe'")]
    first = lines[0].removeprefix("Error merging override ") if lines else type(error).__name__
    causes = str(error.__cause__ or "").splitlines()
    cause = f": {causes[0].strip()}" if causes else ""
    return f"{where[1] + ': ' if where else ''}{first}{cause}"
