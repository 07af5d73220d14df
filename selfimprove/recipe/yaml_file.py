"""Read the YAML of a recipe that may come from a stranger: plain values only, of bounded size, no code.

Unlike PyYAML's safe loader it refuses tags, duplicate keys and aliases, reads `1e-4` as a number and `no` as a word.
Size, levels and values are counted while the text is parsed, before anything is built from it.
"""

from __future__ import annotations

import math
import os
import re
from pathlib import Path
from typing import Any

import yaml
from yaml.reader import ReaderError

from selfimprove import foreign
from selfimprove.errors import RecipeError
from selfimprove.safety.redaction import holds_key

LARGEST, DEEPEST, MOST = 1_000_000, 50, 10_000
"""Most bytes, levels and values of a recipe."""


class _Loader(yaml.SafeLoader):
    """Plain values only: tags, duplicate keys and aliases are refused, `1e-4` is a number, `no` is a word."""

    depth = count = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            raise _fault("anchors and aliases are not used in recipes", event)
        if event.tag is not None:
            raise _fault(f"tag {event.tag!r} is not allowed; recipes cannot name Python objects", event)
        self.depth, self.count = self.depth + 1, self.count + (index is not None)  # a key has no index
        if self.depth > DEEPEST or self.count > MOST:
            raise _fault(f"a recipe has at most {MOST} values in {DEEPEST} levels", event)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: dict[Any, Any] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _fault("a key must be a word", key)
            if key.value in seen:
                first = seen[key.value].start_mark.line + 1
                raise _fault(f"key {key.value!r} appears twice; first in line {first}", key)
            seen[key.value] = key
        return super().construct_mapping(node, deep)


def _fault(problem: str, at: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=at.start_mark)


_Loader.yaml_implicit_resolvers = {
    letter: [(tag, pattern) for tag, pattern in rules if tag.rpartition(":")[2] == "null"]
    for letter, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(true|false|True|False)$"), list("tTfF"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"^[-+]?(0|[1-9][0-9_]*)$"), list("-+0123456789"))
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?((0|[1-9][0-9_]*)(\.[0-9_]*)?|\.[0-9][0-9_]*)([eE][-+]?[0-9]+)?$|^[-+]?\.inf$|^\.nan$"),
    list("-+0123456789."),
)


def _construct_float(loader: yaml.SafeLoader, node: Any) -> float:
    value = str(node.value).replace("_", "")
    return float(value.replace(".inf", "inf").replace(".nan", "nan"))


_Loader.add_constructor("tag:yaml.org,2002:float", _construct_float)


class _Dumper(yaml.SafeDumper):
    """Quotes texts that `_Loader`, or any other loader, would read as another type."""


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
        RecipeError: the file is too large or not a YAML mapping of plain values; the message has line and column.
    """
    with os.fdopen(foreign.opened(path.resolve()), "rb") as file:
        raw = file.read(LARGEST + 1)
    if len(raw) > LARGEST:
        raise RecipeError(f"{path} is larger than 1 MB; a recipe has about 25 lines")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        found = f"byte 0x{raw[error.start]:02x} at offset {error.start}"
        raise RecipeError(f"{path} is not a UTF-8 text file ({found}); save it as UTF-8") from error
    try:
        body = yaml.load(text, _Loader)  # noqa: S506  (_Loader is a SafeLoader)
    except ReaderError as error:
        found = f"character 0x{error.character:02x} at offset {error.position}"
        raise RecipeError(f"{path} is not a text file ({found})") from error
    except yaml.YAMLError as error:
        raise RecipeError(_explain(error, path, text)) from error
    except (ValueError, KeyError, RecursionError) as error:  # PyYAML lets these through: 5000 digits, [[[[...
        raise RecipeError(f"{path}: not a recipe: {str(error).partition(chr(10))[0]}") from error
    if not isinstance(body, dict):
        raise RecipeError(
            f"{path} is not a mapping; a recipe starts with `defaults:` and names a method for each slot, for example "
            "`defaults: [task: chain_sums, reward: verifier]`"
        )
    _check_values(body, path)
    return body


def _explain(error: yaml.YAMLError, path: Path, text: str) -> str:
    """PyYAML's message in one line, with the place and the text of the line."""
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error).partition("\n")[0]
    if mark is None:
        return f"{path}: not a recipe: {problem}"
    lines = text.splitlines()
    line = lines[mark.line] if mark.line < len(lines) else ""
    quoted = f", in {line.strip()[:60]!r}" if line.strip() and not holds_key(line) else ""
    tab = "; indent with spaces, not with tabs" if "\t" in line[: mark.column + 1] else ""
    return f"{path}:{mark.line + 1}:{mark.column + 1}: not a recipe: {problem}{quoted}{tab}"


def _check_values(body: dict[str, Any], path: Path) -> None:
    """Refuse values that could run code or read secrets, and values that no method can use."""
    stack: list[tuple[str, Any]] = [("", body)]
    while stack:
        where, value = stack.pop()
        if isinstance(value, dict):
            bad = [key for key in value if not isinstance(key, str) or key.startswith("_") or key == "hydra"]
            if bad:
                raise RecipeError(
                    f"{path}: key {bad[0]!r} is not allowed; recipes cannot name Python objects, only the methods that "
                    "`selfimprove list` shows"
                )
            for key, item in value.items():
                check_text(key, f"{path}: {where or 'a key'}")
                word = key if key.isprintable() else repr(key)
                stack.append((f"{where}.{word}" if where else word, item))
        elif isinstance(value, list):
            stack += [(where, item) for item in value]
        elif isinstance(value, str):
            check_text(value, f"{path}: {where}")
        elif isinstance(value, float) and not math.isfinite(value):
            raise RecipeError(f"{path}: {where} is {value}; write a finite number")
        elif not isinstance(value, str | int | float | None):
            raise RecipeError(f"{path}: {where}: {value!r} is not a plain value; write a text or a number")


def check_text(text: str, where: str) -> None:
    """Refuse a text of a recipe or of the command line that is a secret or refers to one.

    Raises:
        RecipeError: the message says where it is, but never shows a secret.
    """
    if holds_key(text):
        raise RecipeError(
            f"{where} contains what looks like a key. Remove it, and revoke it if others have seen it; libraries read "
            "their keys from the environment, such as HF_TOKEN"
        )
    if "${" in text:
        raise RecipeError(
            f"{where}: {text[:80]!r} is an interpolation; write the value itself. Recipes read neither the environment "
            "nor other values"
        )
