"""Arithmetic expressions: what numbers can reach, how it is worked out, what a text is worth. Pure functions.

A text from a model is read as a syntax tree of four operations and never run.
"""

from __future__ import annotations

import ast
import operator
import re
from fractions import Fraction
from functools import lru_cache
from itertools import combinations

Tree = int | tuple[str, "Tree", "Tree"]
"""A number, or an operation on two trees."""
OPERATIONS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}
LONGEST = 200
"""Characters of an expression that are read at most."""
LARGEST = 1000
"""Products above this are not looked at on the way to a target."""


@lru_cache(maxsize=1 << 15)
def reached(numbers: tuple[int, ...]) -> dict[int, Tree]:
    """What sorted numbers reach when each is used once, by whole values above 0: value -> one way to it."""
    if len(numbers) == 1:
        return {numbers[0]: numbers[0]}
    found: dict[int, Tree] = {}
    for size in range(1, len(numbers) // 2 + 1):
        for places in combinations(range(len(numbers)), size):
            left = reached(tuple(numbers[i] for i in places))
            right = reached(tuple(numbers[i] for i in range(len(numbers)) if i not in places))
            for (a, one), (b, two) in ((x, y) for x in left.items() for y in right.items()):
                (high, first), (low, second) = ((a, one), (b, two)) if a >= b else ((b, two), (a, one))
                found.setdefault(a + b, ("+", one, two))
                if high > low:
                    found.setdefault(high - low, ("-", first, second))
                if a * b <= LARGEST:
                    found.setdefault(a * b, ("*", one, two))
                if high % low == 0:
                    found.setdefault(high // low, ("/", first, second))
    return found


def work(tree: Tree) -> str:
    """A way to a target as it is worked out: its steps, then the whole expression."""
    steps: list[str] = []

    def walk(node: Tree) -> tuple[int, str]:
        if isinstance(node, int):
            return node, str(node)
        (a, left), (b, right) = walk(node[1]), walk(node[2])
        value = {"+": a + b, "-": a - b, "*": a * b, "/": a // b}[node[0]]
        steps.append(f"{a}{node[0]}{b}={value}")
        return value, f"({left}{node[0]}{right})"

    _, text = walk(tree)
    return f"{';'.join(steps)}#{text[1:-1]}"


def evaluate(text: str) -> tuple[Fraction | None, list[int]]:
    """The exact value of an expression and the numbers in it; None where it is anything but sums of whole numbers."""
    used: list[int] = []

    def walk(node: ast.AST) -> Fraction:
        if isinstance(node, ast.BinOp) and type(node.op) in OPERATIONS:
            return OPERATIONS[type(node.op)](walk(node.left), walk(node.right))
        if isinstance(node, ast.Constant) and type(node.value) is int:
            used.append(node.value)
            return Fraction(node.value)
        raise ValueError

    if len(text) > LONGEST or not re.fullmatch(r"[0-9+\-*/()]+", text):
        return None, []
    try:
        return walk(ast.parse(text, mode="eval").body), used
    except (SyntaxError, ValueError, ZeroDivisionError, RecursionError, MemoryError):
        return None, []
