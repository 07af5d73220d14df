"""Arithmetic expressions: the values that numbers can reach, worked solutions, evaluation. Pure functions.

A model's text is parsed as a syntax tree of four operations and never executed.
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
"""Most characters of an expression that is read."""
LARGEST = 1000
"""Larger products are not considered on the way to a target."""


@lru_cache(maxsize=1 << 15)
def reached(numbers: tuple[int, ...]) -> dict[int, Tree]:
    """The values that sorted numbers reach when each is used once, through positive integers: value -> one way."""
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
    """A worked solution: its steps, then the whole expression."""
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
    """The exact value of an expression and the numbers in it; None if it is not arithmetic on integers."""
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
