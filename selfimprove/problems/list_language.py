"""A language of programs on lists of digits, for the task `list_programs`; every program terminates."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import accumulate

OPERATIONS: dict[str, Callable[[list[int]], list[int]]] = {
    "r": lambda digits: digits[::-1],
    "s": sorted,
    "t": lambda digits: digits[1:],
    "u": lambda digits: digits[:-1],
    "d": lambda digits: digits + digits,
    "e": lambda digits: [digit for digit in digits if digit % 2 == 0],
    "o": lambda digits: [digit for digit in digits if digit % 2],
    "a": lambda digits: [total % 10 for total in accumulate(digits)],
}
"""Reverse, sort, drop the first, drop the last, double, keep even, keep odd, running sums; +k and *k modulo 10."""
LIMIT = 60
"""Most values that an execution may produce in total."""


def run(program: str, given: str) -> str | None:
    """The output of a program; None if it is invalid, produces more than LIMIT values, or leaves no digits."""
    names, digits, made = operations(program), [int(digit) for digit in given if "0" <= digit <= "9"], 0
    if not names or len(digits) != len(given):
        return None
    for name in names:
        number = int(name[1:] or 0)
        if name in OPERATIONS:
            digits = OPERATIONS[name](digits)
        else:
            digits = [(digit + number if name[0] == "+" else digit * number) % 10 for digit in digits]
        if (made := made + len(digits)) > LIMIT:
            return None
    return "".join(map(str, digits)) or None


def operations(program: str) -> list[str]:
    """The operations of a program; [] if the text is not a program."""
    names = re.findall(r"[rstudeoa]|[+*][1-9]", program)
    return names if "".join(names) == program else []
