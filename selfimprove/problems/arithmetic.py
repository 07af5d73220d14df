"""Exact arithmetic on rational numbers that are written in plain text. Pure functions."""

from __future__ import annotations

import math
import re
from fractions import Fraction

LARGEST = 1 << 17
"""Most bits of a number that is worked out."""


def power(base: Fraction, exponent: int) -> Fraction | None:
    """A power of bounded size; None if it is larger, or has no value."""
    size = max(base.numerator.bit_length(), base.denominator.bit_length())
    if size * abs(exponent) > LARGEST or (base == 0 and exponent < 0):
        return None
    return base**exponent


_PART = re.compile(r"\s*(?:(\d+(?:\.\d+)?|\.\d+)|([-+*/^()!]))")


def arithmetic(text: str) -> Fraction | None:
    """The exact value of +, -, *, /, ^, ! and brackets on numbers; None for anything else, and beyond LARGEST."""
    parts, place = list[str](), 0
    while place < len(text.rstrip()):
        found = _PART.match(text, place)
        if found is None:
            return None
        parts.append(found[1] or found[2])
        place = found.end()
    try:
        value, rest = _sum(parts, 0, 0)
    except (ValueError, ZeroDivisionError, IndexError):
        return None
    return value if rest == len(parts) else None


def _sum(parts: list[str], at: int, depth: int) -> tuple[Fraction, int]:
    value, at = _product(parts, at, depth)
    while at < len(parts) and parts[at] in "+-":
        other, after = _product(parts, at + 1, depth)
        value, at = (value + other if parts[at] == "+" else value - other), after
    return value, at


def _product(parts: list[str], at: int, depth: int) -> tuple[Fraction, int]:
    value, at = _signed(parts, at, depth)
    while at < len(parts) and (parts[at] in "*/(" or parts[at][0].isdigit()):
        sign = parts[at] if parts[at] in "*/" else "*"
        if parts[at] not in "*/" and parts[at] != "(" and parts[at - 1] != ")":
            raise ValueError  # two numbers side by side
        other, after = _signed(parts, at + (parts[at] in "*/"), depth)
        value, at = (value * other if sign == "*" else value / other), after
        if max(value.numerator.bit_length(), value.denominator.bit_length()) > 2 * LARGEST:
            raise ValueError
    return value, at


def _signed(parts: list[str], at: int, depth: int) -> tuple[Fraction, int]:
    if depth > 50:
        raise ValueError
    if parts[at] in "+-":
        value, after = _signed(parts, at + 1, depth + 1)
        return (-value if parts[at] == "-" else value), after
    return _raised(parts, at, depth)


def _raised(parts: list[str], at: int, depth: int) -> tuple[Fraction, int]:
    if parts[at] == "(":
        value, at = _sum(parts, at + 1, depth + 1)
        if parts[at] != ")":
            raise ValueError
        at += 1
    else:
        value, at = Fraction(parts[at]), at + 1
    while at < len(parts) and parts[at] == "!":
        if value.denominator != 1 or not 0 <= value <= 3000:
            raise ValueError
        value, at = Fraction(math.factorial(int(value))), at + 1
    if at < len(parts) and parts[at] == "^":
        exponent, at = _signed(parts, at + 1, depth + 1)
        raised = power(value, int(exponent)) if exponent.denominator == 1 else None
        if raised is None:
            raise ValueError
        value = raised
    return value, at
