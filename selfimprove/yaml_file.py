"""Read the YAML of a recipe that may come from a stranger: plain values only, bounded, nothing that can run.

Unlike PyYAML's safe loader it refuses duplicate keys and aliases, reads `1e-4` as a number and `no` as a word.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from selfimprove.errors import RecipeError

LARGEST, DEEPEST, MOST = 1_000_000, 50, 10_000
"""Bytes, levels and values that a recipe may have."""


class _Loader(yaml.SafeLoader):
    """Plain values only: duplicate keys and aliases are refused, `1e-4` is a number, `no` is a word."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()
            raise yaml.MarkedYAMLError(
                problem="anchors and aliases are not used in recipes", problem_mark=event.start_mark
            )
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: dict[Any, Any] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.MarkedYAMLError(problem="a key must be a word", problem_mark=key.start_mark)
            if key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"key {key.value!r} stands here twice", problem_mark=key.start_mark)
            seen[key.value] = key
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    letter: [(tag, pattern) for tag, pattern in rules if tag.rpartition(":")[2] in ("null", "merge")]
    for letter, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(true|false|True|False)$"), list("tTfF"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"^[-+]?(0|[1-9][0-9_]*)$"), list("-+0123456789"))
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?([0-9][0-9_]*\.?[0-9_]*|\.[0-9][0-9_]*)([eE][-+]?[0-9]+)?$|^[-+]?\.inf$|^\.nan$"),
    list("-+0123456789."),
)


def _construct_float(loader: yaml.SafeLoader, node: Any) -> float:
    value = str(node.value).replace("_", "")
    return float(value.replace(".inf", "inf").replace(".nan", "nan"))


_Loader.add_constructor("tag:yaml.org,2002:float", _construct_float)


class _Dumper(yaml.SafeDumper):
    """Quotes what `_Loader`, or any other loader, would read as something else than a text."""


_Dumper.yaml_implicit_resolvers = {
    letter: [*yaml.SafeLoader.yaml_implicit_resolvers.get(letter, []), *_Loader.yaml_implicit_resolvers.get(letter, [])]
    for letter in {*yaml.SafeLoader.yaml_implicit_resolvers, *_Loader.yaml_implicit_resolvers}
}


def dump(values: dict[str, Any]) -> str:
    """Plain values as YAML that `read` gives back."""
    return yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def read(path: Path) -> dict[str, Any]:
    """The values of a recipe file.

    Raises:
        RecipeError: the file is no YAML mapping of plain values, or too large; the message has line and column.
    """
    if path.stat().st_size > LARGEST:
        raise RecipeError(f"{path} is larger than 1 MB; a recipe has about 25 lines")
    try:
        text = path.read_text(encoding="utf-8")
        body = yaml.load(text, _Loader)  # noqa: S506  (_Loader is a SafeLoader)
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path} is not a UTF-8 text file: {error.reason} at byte {error.start}") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error).partition("\n")[0]
        raise RecipeError(f"{path}{where}: not a recipe: {problem}") from error
    except (ValueError, KeyError, RecursionError) as error:  # PyYAML lets these through: !!int x, !!bool x, [[[[...
        raise RecipeError(f"{path}: not a recipe: {error}") from error
    if not isinstance(body, dict):
        raise RecipeError(f"{path} holds no mapping; a recipe starts with `defaults:` and names a method for each slot")
    _check_values(body, path)
    return body


def _check_values(body: Any, path: Path) -> None:
    """Refuse what could run code or read secrets, and what is too large."""
    stack, count = [(body, 0)], 0
    while stack:
        value, depth = stack.pop()
        count += 1
        if count > MOST or depth > DEEPEST:
            raise RecipeError(f"{path} holds more than {MOST} values or {DEEPEST} levels")
        if isinstance(value, dict):
            bad = [key for key in value if not isinstance(key, str) or key.startswith("_") or key == "hydra"]
            if bad:
                raise RecipeError(f"{path}: key {bad[0]!r} is not allowed; recipes cannot name Python objects")
            stack += [(item, depth + 1) for item in value.values()]
        elif isinstance(value, list):
            stack += [(item, depth + 1) for item in value]
        elif isinstance(value, str) and "${" in value:
            raise RecipeError(f"{path}: {value!r} is an interpolation; write the value itself")
        elif not isinstance(value, str | int | float | None):
            raise RecipeError(f"{path}: {value!r} is no plain value; write a text or a number")
