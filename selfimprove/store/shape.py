"""Whether the values of a JSON file have the types that are expected: a stranger can sign a file with any.

A shape is a type or a tuple of types, `NUMBER` for a finite number, `[shape]` for a list, `{str: shape}` for a mapping
with any keys, or `{"name": shape, "other?": shape}` for one with these keys, of which those with `?` may be missing.
Further keys are allowed, so that files of later versions can be read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from selfimprove import foreign
from selfimprove.errors import DataError


class NUMBER:
    """A number that can be squared; JSON also has Infinity and NaN, and integers without end."""


class PAIR:
    """A list of two such numbers, such as the ends of an interval."""


class MAYBE:
    """Null, or a value of a shape."""

    def __init__(self, shape: Any) -> None:
        """Null, or a value of this shape."""
        self.shape = shape


METRIC = {"value": NUMBER, "low": NUMBER, "high": NUMBER, "n": int}
"""A `Metric` as JSON."""


def read(path: Path, shape: Any, way: str = "") -> Any:
    """The value of a JSON file of this shape.

    Args:
        way: what to do about a damaged file.

    Raises:
        DataError: it is missing, has another shape, or cannot be read as JSON.
        OSError: it may not be read.
    """
    try:
        value = foreign.json_in(path, way=way)
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing{f'. {way}' if way else ''}") from error
    require(value, shape, path, way)
    return value


def require(value: Any, shape: Any, path: Path, way: str = "") -> None:
    """Make sure that what was read from a file has a shape.

    Raises:
        DataError: it has not; the message names the place in the file.
    """
    if wrong := misfit(value, shape):
        raise DataError(f"{path} is damaged: {wrong}{f'. {way}' if way else ''}")


def misfit(value: Any, shape: Any) -> str:
    """Where a value has another shape, in words; "" if it has this one."""
    wrong = _misfit(value, shape)
    return f"it{wrong}" if wrong.startswith(" ") else wrong.lstrip(".")


def _misfit(value: Any, shape: Any) -> str:
    """The place below the value, and what is wrong there; the place grows on the way back, so what fits costs none."""
    if isinstance(shape, dict):
        return _misfit_of_mapping(value, shape)
    if shape is NUMBER:
        kind = type(value)
        return "" if (kind is float or kind is int) and -1e100 < value < 1e100 else _wrong(value)
    if isinstance(shape, list):
        if not isinstance(value, list):
            return _wrong(value)
        inner = shape[0]
        for number, item in enumerate(value):
            if wrong := _misfit(item, inner):
                return f"[{number}]{wrong}"
        return ""
    if isinstance(shape, MAYBE):
        return "" if value is None else _misfit(value, shape.shape)
    if shape is PAIR:
        return _misfit(value, [NUMBER]) or ("" if len(value) == 2 else " has another length")
    fits = isinstance(value, shape) and (shape is not int or not isinstance(value, bool))
    return "" if fits else _wrong(value)


def _misfit_of_mapping(value: Any, shape: dict[Any, Any]) -> str:
    if not isinstance(value, dict):
        return _wrong(value)
    if str in shape:
        inner = shape[str]
        for name, one in value.items():
            if wrong := _misfit(one, inner):
                return f".{name[:80]}{wrong}"
        return ""
    for name, inner in shape.items():
        key = name.removesuffix("?")
        if key not in value:
            if name == key:
                return f".{key} is missing"
        elif wrong := _misfit(value[key], inner):
            return f".{key}{wrong}"
    return ""


def _wrong(value: Any) -> str:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    kind = "a number that does not fit" if number else {dict: "a mapping", type(None): "null"}.get(type(value))
    return f" is {kind or f'a {type(value).__name__}'}"
