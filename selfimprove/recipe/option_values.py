"""Checks the values of a recipe against their options: types by annotations, ranges by bounds.

One message lists all problems, each with its place, the value and what was expected.
"""

from __future__ import annotations

import math
import re
import types
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, Union, get_args, get_origin, get_type_hints

from selfimprove.bounds import Bounds
from selfimprove.errors import RecipeError, listed
from selfimprove.interfaces import REQUIRED

_KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}


def check_types(given: Mapping[str, Any], owner: type, where: str = "") -> list[str]:
    """The values of a mapping that do not fit the fields of a dataclass; unknown names are checked elsewhere."""
    hints = get_type_hints(owner)
    names = [field.name for field in fields(owner) if field.name in given]
    found = ((f"{where}{name}", given[name], _expected(given[name], hints[name])) for name in names)
    return [_fault(place, value, expected) for place, value, expected in found if expected]


def check_ranges(given: Mapping[str, Any], bounds: Mapping[str, Bounds], where: str = "") -> list[str]:
    """The numbers of a mapping that are out of their option's range; without bounds only huge numbers are refused."""
    faults = []
    for name, value in given.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        taken = bounds.get(name, Bounds())
        if not taken.holds(value):
            faults.append(f"{where}{name} is {value}; it must be {taken.told(value)}")
    return faults


def refuse(faults: Sequence[str], where: Any) -> None:
    """Raise one error for all problems, if there are any."""
    if faults:
        raise RecipeError(f"{where}: {listed(faults)}")


def _fault(place: str, value: Any, expected: str) -> str:
    kind = "a list" if isinstance(value, list) else "a mapping" if isinstance(value, dict) else None
    kind = kind or ("nothing" if value is None else "a text" if isinstance(value, str) else _KINDS[type(value)])
    advice = "; put it in quotes" if expected == "a text" and isinstance(value, bool | int | float) else ""
    if isinstance(value, str) and re.fullmatch(r"[-+]?0[0-9]{1,40}", value):
        advice = f"; without the leading zero it is {int(value)}"
    return f"{place}: found {_short(value)} ({kind}), expected {expected}{advice}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _expected(value: Any, hint: Any) -> str:
    """The expected type in words if the value does not fit; "" if it fits."""
    origin, inner = get_origin(hint), get_args(hint)
    if hint is Any or value == REQUIRED:
        return ""
    if origin in (Union, types.UnionType):
        said = [_expected(value, part) for part in inner]
        return "" if "" in said else " or ".join(dict.fromkeys(said))
    if hint is type(None):
        return "" if value is None else "null"
    if origin is list or hint is list:
        if not isinstance(value, list):
            return "a list" + (f" of {_plural(inner[0])}" if inner else "")
        return next((f"a list of {_plural(inner[0])}" for part in value if inner and _expected(part, inner[0])), "")
    if origin is dict or hint is dict:
        return "" if isinstance(value, dict) else "a mapping"
    return _KINDS.get(hint, "") if not _scalar(value, hint) else ""


def _plural(hint: Any) -> str:
    return {int: "whole numbers", float: "numbers", str: "texts", bool: "truth values"}.get(hint, "values")


def _scalar(value: Any, hint: Any) -> bool:
    """Whether OmegaConf reads a value as this type without changing its meaning."""
    if hint is bool:
        words = ("true", "false", "yes", "no", "on", "off", "y", "n", "1", "0")
        return isinstance(value, bool) or str(value).lower() in words
    if hint is int:
        return type(value) is int or (isinstance(value, str) and bool(re.fullmatch(r"[-+]?(0|[1-9][0-9]*)", value)))
    if hint is float:
        return type(value) in (int, float) or (isinstance(value, str) and _is_number(value))
    return isinstance(value, str) if hint is str else True


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
