"""Compares mathematical answers by their structure, and shows them in a normal form.

Numbers are compared exactly here; only expressions are asked of the processes of `math_worker`.
"""

from __future__ import annotations

import re
from fractions import Fraction

from selfimprove.problems.math_atoms import Form
from selfimprove.problems.math_worker import ask


def show(form: Form) -> str:
    """An answer in a normal form: equal answers have equal ones, as far as they can be simplified."""
    match form.kind:
        case "number":
            return form.text
        case "expression":
            return ask("parse", form.text) or re.sub(r"\s", "", form.text)
        case "set":
            return "{" + ", ".join(sorted(map(show, form.parts), key=_ranked)) + "}"
        case "union":
            return " U ".join(sorted(map(show, form.parts)))
        case "tuple":
            return form.text[0] + ", ".join(map(show, form.parts)) + form.text[-1]
        case "matrix":
            return f"matrix of {form.text} rows: " + ", ".join(map(show, form.parts))
        case "equation":
            return ask("parse", form.text) or re.sub(r"\s", "", form.text)
        case _:
            return form.text


def _ranked(text: str) -> tuple[int, Fraction, str]:
    """Numbers in their order before all else."""
    return (0, Fraction(text), "") if re.fullmatch(r"-?\d+(?:/\d+)?", text) else (1, Fraction(0), text)


def same(gold: Form, given: Form) -> bool:
    """Whether two answers are equal; the first is the reference."""
    if gold == given or (gold.kind == given.kind and (gold.text, gold.parts) == (given.text, given.parts)):
        return True
    kinds = {gold.kind, given.kind}
    if gold.kind == "base" and given.kind == "number":
        return gold.text.partition("_")[0] == given.text  # the question names the base
    if kinds == {"time", "number"}:
        ratio = gold.text if gold.kind == "time" else given.text
        return ratio.replace(":", "/") == (given if gold.kind == "time" else gold).text
    if kinds == {"time"}:
        return " " not in gold.text and given.text.partition(" ")[0] == gold.text
    if gold.kind == given.kind and len(gold.parts) == len(given.parts) and gold.parts:
        if gold.kind in ("set", "union"):
            return _matched(gold.parts, given.parts)
        return gold.text == given.text and all(map(same, gold.parts, given.parts))
    if gold.kind == "number" and given.kind == "equation":
        left, _, right = given.text.partition("=")  # a + b = 9, where a + b is asked for
        return re.fullmatch(r"[\s+]*(?:[A-Za-z][\s+]*){2,}", left) is not None and right.strip() == gold.text
    if "equation" in kinds or (gold.equation and given.equation and kinds <= {"expression"}):
        left, right = (one.equation or (one.text if one.kind == "equation" else "") for one in (gold, given))
        if left and right and ask("equation", left, right) is True:
            return True
    if kinds in ({"expression"}, {"expression", "number"}, {"relation"}):
        return ask("equal", _asked(gold), _asked(given)) is True
    if kinds == {"name", "expression"}:
        return gold.text == given.text
    return kinds == {"name", "word"} and gold.text.casefold() == given.text.casefold()


def _asked(form: Form) -> str:
    """An answer as a question to the worker."""
    over, slash, under = form.text.partition("/")
    return rf"\frac{{{over}}}{{{under}}}" if form.kind == "number" and slash else form.text


def _matched(golds: tuple[Form, ...], given: tuple[Form, ...]) -> bool:
    """Whether two sets have the same members."""
    left = [*given]
    for gold in golds:
        found = next((one for one in left if same(gold, one)), None)
        if found is None:
            return False
        left.remove(found)
    return True
