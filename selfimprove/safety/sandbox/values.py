"""Python values as JSON with their types, and the comparison of untrusted values.

int, float, bool, str and None are themselves in JSON. All else is a list with a tag in front:
["l", ...] list, ["t", ...] tuple, ["s", ...] set, ["f", ...] frozenset, ["d", [key, value], ...] dict,
["b", hex] bytes, ["c", real, imaginary] complex, ["n", "nan" | "inf" | "-inf"] float, ["i", hex] a very long int.
"""

from __future__ import annotations

import json
import math
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

DEPTH = 60
"""Levels that a value may be nested."""
CLASHES = 5_000_000
"""Comparisons that building the sets and dicts of a value may take. Keys can be chosen to collide: then each lookup
compares all of them, so ten thousand keys, or few that hold others, would keep a core busy for minutes."""
_LONG = 1 << 4000
"""From this size on an int is written in base 16, because base 10 takes quadratic time."""
_MANY = {list: "l", tuple: "t", set: "s", frozenset: "f"}
_MAKE = {tag: kind for kind, tag in _MANY.items()}


class ValueRefused(Exception):
    """A value that cannot be sent, or a line that is not a value."""


def encode(value: Any, depth: int = 0) -> Any:
    """A value as JSON. Subclasses are sent as their built-in base type, without calling what they override.

    Raises:
        ValueRefused: its type is not one of those above, or it is nested too deeply.
    """
    kind = type(value)
    if value is None or kind is bool or kind is str:
        return value
    if depth > DEPTH:
        raise ValueRefused(f"nested more than {DEPTH} levels")
    if isinstance(value, int):
        value = int.__add__(value, 0)
        return value if -_LONG < value < _LONG else ["i", hex(value)]
    if isinstance(value, float):
        value = float.__add__(value, 0.0) if kind is not float else value
        return value if math.isfinite(value) else ["n", repr(value)]
    if isinstance(value, str):
        return str.__str__(value)
    for base, tag in _MANY.items():
        if isinstance(value, base):
            return [tag, *(encode(part, depth + 1) for part in base.__iter__(value))]
    if isinstance(value, dict):
        return ["d", *([encode(key, depth + 1), encode(part, depth + 1)] for key, part in dict.items(value))]
    if isinstance(value, bytes):
        return ["b", bytes.hex(value)]
    if isinstance(value, complex):
        return ["c", encode(value.real), encode(value.imag)]
    raise ValueRefused(f"a value of type {kind.__name__}")


def decode(coded: Any) -> Any:
    """The value that `encode` wrote. Returns built-in types only, in time linear in its size, whoever wrote the JSON.

    Raises:
        ValueRefused: it is not what `encode` writes, or its keys were made to collide.
    """
    return _Decoder().value(coded, 0)


@dataclass
class _Decoder:
    """Counts what it decodes."""

    nodes: int = 0
    clashes: int = 0

    def value(self, coded: Any, depth: int) -> Any:
        self.nodes += 1
        if coded is None or type(coded) in (bool, int, float, str):
            return coded
        if depth > DEPTH or type(coded) is not list or not coded or type(coded[0]) is not str:
            raise ValueRefused("not a value")
        tag, *parts = coded
        try:
            if tag in ("l", "t"):
                return _MAKE[tag](self.value(part, depth + 1) for part in parts)
            if tag in ("s", "f"):
                return _MAKE[tag](self.keys(parts, depth + 1))
            if tag == "d":
                keys = self.keys([key for key, _ in parts], depth + 1)
                return dict(zip(keys, [self.value(part, depth + 1) for _, part in parts], strict=True))
            if tag == "b":
                return bytes.fromhex(*parts)
            if tag == "c":
                real, imaginary = (float.__add__(self.value(part, depth + 1), 0.0) for part in parts)
                return complex(real, imaginary)
            if tag == "n" and parts in (["nan"], ["inf"], ["-inf"]):
                return float(parts[0])
            if tag == "i" and len(parts) == 1:
                return int(parts[0], 16)
        except (TypeError, ValueError) as error:
            raise ValueRefused("not a value") from error
        raise ValueRefused("not a value")

    def keys(self, parts: list[Any], depth: int) -> list[Any]:
        """The keys of a set or dict. Comparing two with one hash takes at most the square of their parts."""
        keys, alike = list[Any](), dict[int, tuple[int, int]]()
        for part in parts:
            before = self.nodes
            keys.append(self.value(part, depth))
            number = hash(keys[-1])
            count, largest = alike.get(number, (0, 0))
            alike[number] = count + 1, max(largest, self.nodes - before)
        self.clashes += sum((count * size) ** 2 for count, size in alike.values() if count > 1)
        if self.clashes > CLASHES:
            raise ValueRefused("keys that collide")
        return keys


def written(value: Any) -> str | None:
    """The repr of a value; None if it has a number of more digits than Python writes out."""
    try:
        return repr(value)
    except ValueError:
        return None


def loads(line: str | bytes) -> Any:
    """JSON from a stranger.

    Raises:
        ValueRefused: it is not JSON.
    """

    def no_constant(name: str) -> None:
        raise ValueError(name)

    try:
        return json.loads(line, parse_constant=no_constant)
    except (ValueError, RecursionError, MemoryError) as error:
        raise ValueRefused("not JSON") from error


def same(expected: Any, got: Any, tolerance: float | None = None) -> bool:
    """Whether two values from `decode` are equal, types included: 5 is not 5.0 is not True, and NaN equals nothing.

    Args:
        tolerance: largest absolute or relative error of a float; None: floats must be equal.
    """
    if type(expected) is not type(got):
        return False
    if isinstance(expected, float) and tolerance is not None:
        return math.isclose(expected, got, rel_tol=tolerance, abs_tol=tolerance)
    if isinstance(expected, list | tuple):
        return len(expected) == len(got) and all(
            same(one, other, tolerance) for one, other in zip(expected, got, strict=True)
        )
    if isinstance(expected, dict):
        ours, theirs = ({_exact(key): value for key, value in side.items()} for side in (expected, got))
        return ours.keys() == theirs.keys() and all(same(value, theirs[key], tolerance) for key, value in ours.items())
    if isinstance(expected, set | frozenset):
        return {_exact(part) for part in expected} == {_exact(part) for part in got}
    return bool(expected == got)


def _exact(value: Any) -> Hashable:
    """A key that is equal only for equal values of equal types."""
    if isinstance(value, tuple):
        return (tuple, *(_exact(part) for part in value))
    if isinstance(value, frozenset):
        return (frozenset, frozenset(_exact(part) for part in value))
    if value != value:
        return (float, object())
    return (type(value), value)
