"""Changes to a recipe from the command line, such as `rounds=5`: what the text after `=` means.

An option that is a text gets it as it was typed: `C:\\new`, `007`, `1e5`, `true` and `a,b` stay what they are. Other
options are read by Hydra's grammar, which would make numbers, backslashes and lists of these.
"""

from __future__ import annotations

import json
import re
import types
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from typing import Any, Union, get_args, get_origin, get_type_hints

from hydra.core.override_parser.types import Quote, QuotedString

from selfimprove import registry
from selfimprove.errors import RecipeError
from selfimprove.recipe import yaml_file
from selfimprove.recipe.schema import Recipe
from selfimprove.registry import Find, nearest


def check(override: str, chosen: dict[str, list[str]], method: Find) -> None:
    """Refuse a command-line override of an unknown key, with the nearest name."""
    key, equals, _ = override.partition("=")
    if not equals or not re.fullmatch(r"[A-Za-z_][\w.]*", key):
        raise RecipeError(f"cannot read the override {override!r}; write key=value, for example rounds=5")
    yaml_file.check_text(override, f"the override of {key}")
    slot, _, rest = key.partition(".")
    plain = [f.name for f in fields(Recipe) if f.name not in registry.SLOTS]
    if slot not in registry.SLOTS:
        if key not in plain:
            raise RecipeError(f"unknown key {key!r}.{nearest(key, [*plain, *registry.SLOTS])}")
        return
    name, _, option = rest.partition(".")
    method(slot, name)
    if name not in chosen[slot]:
        raise RecipeError(f"{key}: the recipe does not use {slot} {name!r}; add {slot}={name} to swap it in")
    known = registry.option_names(method(slot, name).method)
    if option.partition(".")[0] not in known:
        raise RecipeError(f"{slot} {name!r} has no option {option!r}.{nearest(option, known)}")


def for_hydra(override: str, method: Find) -> str:
    """An override as Hydra's grammar reads it: a text in quotes, anything else as it stands.

    Raises:
        RecipeError: the option is a list, and the value is not.
    """
    key, _, value = override.partition("=")
    hint = _hint(key, method)
    if get_origin(hint) is dict or get_origin(_hint(key.rpartition(".")[0], method)) is dict:
        return f"++{override}"  # a free mapping takes names that it does not have yet
    optional = get_origin(hint) in (Union, types.UnionType) and type(None) in get_args(hint)
    if optional and value == "null":
        return override
    kinds = [kind for kind in (get_args(hint) if optional else (hint,)) if kind is not type(None)]
    if str in kinds:
        return f"{key}={_text(_unquoted(value))}"
    if kinds and all(get_origin(kind) is list for kind in kinds) and value[:1] != "[":
        raise RecipeError(f"{key} is a list; write {key}=[{value}]")
    if any(get_origin(kind) is list and get_args(kind) == (str,) for kind in kinds):
        parts = _parts(value)
        return override if parts is None else f"{key}=[{','.join(map(_text, parts))}]"
    if value[:1] in ("[", "{", "'", '"') or re.fullmatch(r"[\w.+/:%@?|*-]*", value):
        return override
    return f"{key}={_text(value)}"


def written(key: str, value: Any) -> str:
    """The override that gives an option a plain value or a list; what `for_hydra` reads."""
    return f"{key}={_value(value)}"


def _value(value: Any) -> str:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, list):
        return f"[{','.join(map(_value, value))}]"
    return json.dumps(value)


def _text(text: str) -> str:
    return QuotedString(text, Quote.single).with_quotes()


def _hint(key: str, method: Find) -> Any:
    """The type of an option; Any where it has none of its own, such as a key of a free mapping."""
    slot, *inner = key.split(".")
    hint: Any = Recipe
    if slot in registry.SLOTS and inner:
        hint, inner = method(slot, inner[0]).method, inner[1:]
    else:
        inner = [slot]
    for name in inner:
        if get_origin(hint) is dict:
            hint = get_args(hint)[1]
        elif is_dataclass(hint):
            hint = get_type_hints(hint).get(name, Any)
        else:
            return Any
    return hint


def _unquoted(text: str) -> str:
    """A text without the quotes around all of it; within them, backslashes before a quote are doubled."""
    mark, inside = text[:1], text[1:-1]
    if len(text) < 2 or mark not in "'\"" or text[-1] != mark:
        return text
    runs, tail = re.findall(rf"(\\*){mark}", inside), len(inside) - len(inside.rstrip("\\"))
    if tail % 2 or any(len(run) % 2 == 0 for run in runs):
        return text
    whole = inside[: len(inside) - tail // 2]
    return re.sub(rf"(\\*){mark}", lambda found: found[1][: len(found[1]) // 2] + mark, whole)


def _parts(value: str) -> Sequence[str] | None:
    """The texts of a list such as `[a,'b, c',007]`; None if it is not one."""
    if not (value.startswith("[") and value.endswith("]")):
        return None
    inside = value[1:-1]
    if not inside.strip():
        return []
    part = r"\s*('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|[^'\"\s\[\]{},][^,\[\]{}]*?)\s*"
    if not re.fullmatch(f"{part}(?:,{part})*", inside):
        return None
    return [_unquoted(found[1]) for found in re.finditer(f"{part}(?:,|$)", inside)]
