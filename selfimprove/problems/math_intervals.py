"""Inequalities, and unions of intervals, as intervals of the real line."""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise

from selfimprove.problems.math_atoms import Form
from selfimprove.problems.math_compare import show

ORDER = re.compile(r"\\(?:le|ge|ne)(?![A-Za-z])|<|>")
VARIABLE = re.compile(r"[A-Za-z](?:_\{?\w+\}?)?|\\(?:theta|alpha|beta|phi|lambda)")
LEAST, MOST = Form("expression", "-\\infty"), Form("expression", "\\infty")
Read = Callable[[str], Form | None]
"""Reads a part of a formula."""


def order(text: str, sides: list[str], read: Read) -> Form | None:
    """An inequality of one variable as its interval; another one as a relation.

    Args:
        sides: what stands between the signs of order.
    """
    signs = [found[0] for found in ORDER.finditer(text)]
    if len(signs) != len(sides) - 1:
        return None
    names = [VARIABLE.fullmatch(side.strip()) is not None for side in sides]
    if signs == ["\\ne"] and names[0] and (hole := read(sides[1])) and _value(hole) is not None:
        return without((hole,))
    if "\\ne" in signs:
        return Form("relation", re.sub(r"\s", "", text))
    if len(sides) == 2 and (size := re.fullmatch(r"\|([A-Za-z])\|", sides[0].strip())):
        return _size(size[1], read(sides[1]), signs[0]) or Form("relation", re.sub(r"\s", "", text))
    down = [sign in ("<", "\\le") for sign in signs]
    strict = [sign in "<>" for sign in signs]
    low = high = None
    if len(sides) == 2 and names[0] != names[1]:
        upper = down[0] if names[0] else not down[0]
        bound = read(sides[1 if names[0] else 0])
        low, high = (None, (bound, strict[0])) if upper else ((bound, strict[0]), None)
    elif len(sides) == 3 and names == [False, True, False] and down[0] == down[1]:
        ends = [(read(sides[0]), strict[0]), (read(sides[2]), strict[1])]
        low, high = ends if down[0] else reversed(ends)
    else:
        return Form("relation", re.sub(r"\s", "", text))
    left, right = low or (LEAST, True), high or (MOST, True)
    if left[0] is None or right[0] is None:
        return None
    return Form("tuple", f"{'(' if left[1] else '['}{')' if right[1] else ']'}", (left[0], right[0]))


def without(holes: tuple[Form, ...]) -> Form | None:
    """The real line without some numbers, as a union of intervals; None if one of them is no number."""
    values = [_value(hole) for hole in holes]
    if any(value is None for value in values):
        return None
    ends = [LEAST, *sorted(holes, key=lambda hole: _value(hole) or 0), MOST]
    return _union([Form("tuple", "()", pair) for pair in pairwise(ends)])


def merged(forms: list[Form]) -> list[Form]:
    """The parts of a union, where intervals that touch are one; as they are if an end is no number."""
    spans = [span for span in map(_span, forms) if span is not None]
    if len(spans) < len(forms):
        return forms
    kept: list[tuple[Form, tuple[Fraction, int], tuple[Fraction, int]]] = []
    for form, (low, high) in sorted(zip(forms, spans, strict=True), key=lambda pair: pair[1]):
        if kept and low <= kept[-1][2]:
            last, first, end = kept[-1]
            if high > end:
                joined = Form("tuple", last.text[0] + form.text[1], (last.parts[0], form.parts[1]))
                kept[-1] = (joined, first, high)
        else:
            kept.append((form, low, high))
    return [form for form, _, _ in kept]


def _span(form: Form) -> tuple[tuple[Fraction, int], tuple[Fraction, int]] | None:
    """The ends of an interval with numbers, each with 1 if it begins behind the number."""
    if form.kind != "tuple" or len(form.parts) != 2 or form.text not in ("()", "(]", "[)", "[]"):
        return None
    far = Fraction(10**400)
    low, high = (-far if part == LEAST else far if part == MOST else _value(part) for part in form.parts)
    if low is None or high is None:
        return None
    return (low, int(form.text[0] == "(")), (high, int(form.text[1] == "]"))


def _value(form: Form) -> Fraction | None:
    """The value of a number of usual size."""
    return Fraction(form.text) if form.kind == "number" and "x" not in form.text else None


def _size(name: str, bound: Form | None, sign: str) -> Form | None:
    """|x| < a, and the like, as intervals; None if a is no positive number."""
    value = None if bound is None else _value(bound)
    if bound is None or value is None or value <= 0:
        return None
    low = Form("number", str(-value))
    if sign in ("<", "\\le"):
        return Form("tuple", "()" if sign == "<" else "[]", (low, bound))
    left, right = ("()", "()") if sign == ">" else ("(]", "[)")
    return _union([Form("tuple", left, (LEAST, low)), Form("tuple", right, (bound, MOST))])


def _union(parts: list[Form]) -> Form:
    return Form("union", "", tuple(sorted(parts, key=show)))
