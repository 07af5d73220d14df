"""When a program's value or output is right: the rules of the benches, by name. Everything is compared as plain data.

`""` is our own rule: values with their types, output line by line. `python` compares values with ==, as MBPP and
HumanEval do. `livecodebench` follows lcb_runner/evaluation/testing_util.py: a tuple is as good as a list, lines are
equal if their decimal numbers are, and the program finds the usual modules imported.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from selfimprove.safety.sandbox import values

PYTHON, LIVE_CODE_BENCH = "python", "livecodebench"
_STARRED = (
    "string re datetime collections heapq bisect copy math random statistics itertools functools operator io sys json"
)
PRELUDE = "\n".join(
    [
        *(f"from {module} import *" for module in [*_STARRED.split(), "builtins", "typing"]),
        *(f"import {module}" for module in _STARRED.split()),
        "sys.setrecursionlimit(50000)",
    ]
)
"""What LiveCodeBench puts in front of a program, its `import_string`."""
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?|[+-]?(?:inf(?:inity)?|nan)", re.IGNORECASE)
"""A number as programs print it. Python reads more as one: digits of other scripts, and underscores between digits."""


def imports(given: str, rule: str) -> str:
    """What stands in front of a program: what its problem gives, or what the rule does."""
    return PRELUDE if rule == LIVE_CODE_BENCH else given


def called(source: str, function: str, rule: str) -> str:
    """The function to call. LiveCodeBench takes a function where a method is asked for and the program has no class."""
    return function.rpartition(".")[2] if rule == LIVE_CODE_BENCH and "class Solution" not in source else function


def equal(wanted: Any, got: Any, rule: str, tolerance: float | None) -> bool:
    """Whether a function returned the expected value."""
    if not rule:
        return values.same(wanted, got, tolerance)
    if rule == LIVE_CODE_BENCH and isinstance(got, tuple):
        got = list(got)
    return bool(wanted == got)


def printed(wanted: str, got: str, rule: str, tolerance: float | None) -> bool:
    """Whether a program printed the expected output."""
    if rule != LIVE_CODE_BENCH:
        return same_text(wanted, got, tolerance)
    ours, theirs = ([line.strip() for line in text.strip().split("\n")] for text in (wanted, got))
    return len(ours) == len(theirs) and all(
        line == other or _decimals(line) == _decimals(other) is not None
        for line, other in zip(ours, theirs, strict=True)
    )


def _decimals(line: str) -> list[Decimal] | None:
    """The numbers of a line; None if it holds anything else."""
    words = line.split()
    try:
        return [Decimal(word) for word in words] if all(map(_NUMBER.fullmatch, words)) else None
    except ArithmeticError:  # an exponent of too many digits
        return None


def same_text(wanted: str, got: str, tolerance: float | None = None) -> bool:
    """Whether a program printed the expected output, ignoring spaces at line ends and empty lines at the end."""
    ours, theirs = (text.rstrip().split("\n") for text in (wanted, got))
    if tolerance is None:
        return [line.rstrip() for line in ours] == [line.rstrip() for line in theirs]
    pairs = [(line.split(), other.split()) for line, other in zip(ours, theirs, strict=False)]
    return len(ours) == len(theirs) and all(
        len(words) == len(others)
        and all(_near(word, other, tolerance) for word, other in zip(words, others, strict=True))
        for words, others in pairs
    )


def _near(wanted: str, got: str, tolerance: float) -> bool:
    numbers = _NUMBER.fullmatch(wanted) and _NUMBER.fullmatch(got)
    return wanted == got or bool(numbers and values.same(float(wanted), float(got), tolerance))
