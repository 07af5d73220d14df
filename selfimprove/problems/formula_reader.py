"""Reads a formula as a SymPy expression, fast and exactly: decimals as fractions, runs of capital letters as names.

It knows arithmetic, powers, roots, fractions, usual functions and Greek letters. What it does not know is left to
math_verify, whose parser takes tens of milliseconds. Runs in the process of `math_worker`.
"""

from __future__ import annotations

import re
from typing import Any

_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+(?:\.\d+)?|\.\d+)|(?P<command>\\[A-Za-z]+)|(?P<name>[A-Z]{2,}(?![a-z])|[A-Za-z])|(?P<sign>\\[{}]|[-+*/^_!(){}\[\]|]))"
)
_FUNCTIONS = [
    "sin",
    "cos",
    "tan",
    "cot",
    "sec",
    "csc",
    "sinh",
    "cosh",
    "tanh",
    "arcsin",
    "arccos",
    "arctan",
    "ln",
    "exp",
]
_INVERSES = {"arcsin": "asin", "arccos": "acos", "arctan": "atan", "ln": "log"}
_GREEK = [
    "alpha",
    "beta",
    "gamma",
    "delta",
    "epsilon",
    "varepsilon",
    "zeta",
    "eta",
    "theta",
    "iota",
    "kappa",
    "lambda",
    "mu",
    "nu",
    "xi",
    "rho",
    "sigma",
    "tau",
    "phi",
    "varphi",
    "chi",
    "psi",
    "omega",
    "Gamma",
    "Delta",
    "Theta",
    "Lambda",
    "Xi",
    "Sigma",
    "Phi",
    "Psi",
    "Omega",
    "ell",
]
_SKIPPED = ("\\left", "\\right", "\\mathrm", "\\mathbf", "\\mathit", "\\displaystyle")
LONGEST_POWER = 1 << 16
"""Most bits of a power of numbers that is worked out."""


class Unread(ValueError):
    """The formula has something that this reader does not know."""


def read(text: str) -> Any:
    """The expression of a formula.

    Raises:
        Unread: it holds something else than the usual arithmetic.
    """
    parts, place, text = list[str](), 0, text.strip()
    while place < len(text):
        found = _TOKEN.match(text, place)
        if found is None:
            raise Unread(text[place : place + 10])
        token = found[found.lastgroup or 0]
        parts += [] if token in _SKIPPED else [token]
        place = found.end()
    reader = _Reader(parts)
    value = reader.sum()
    if reader.at != len(parts) or not parts:
        raise Unread("unexpected " + "".join(parts[reader.at : reader.at + 3]))
    return value


class _Reader:
    """Recursive descent over tokens."""

    def __init__(self, parts: list[str]) -> None:
        import sympy

        self.sympy, self.parts, self.at, self.depth, self.bars = sympy, parts, 0, 0, 0

    def peek(self) -> str:
        """The next token; "" at the end."""
        return self.parts[self.at] if self.at < len(self.parts) else ""

    def take(self, wanted: str = "") -> str:
        """The next token, which must be the wanted one if one is named."""
        token = self.peek()
        if not token or (wanted and token != wanted):
            raise Unread(f"{token} instead of {wanted}")
        self.at += 1
        return token

    def sum(self) -> Any:
        """Terms with + and - between them."""
        self.depth += 1
        if self.depth > 40:
            raise Unread("too deep")
        sign = self.take() if self.peek() in ("+", "-") else "+"
        value = self.product() if sign == "+" else -self.product()
        while self.peek() in ("+", "-"):
            sign = self.take()
            value = value + self.product() if sign == "+" else value - self.product()
        self.depth -= 1
        return value

    def product(self) -> Any:
        """Factors, with or without a sign between them."""
        value = self.factor()
        while (
            (token := self.peek())
            and token not in ("+", "-", ")", "]", "}", "\\}")
            and not (token == "|" and self.bars)
        ):
            if token in ("*", "\\cdot", "\\times"):
                self.take()
                value = value * self.factor()
            elif token in ("/", "\\div"):
                self.take()
                value = value / self.factor()
            elif token[0].isdigit():
                raise Unread("a number after a factor")
            else:
                value = value * self.factor()
        return value

    def factor(self) -> Any:
        """A signed atom with its powers and factorials."""
        if self.peek() in ("+", "-"):
            return self.factor() if self.take() == "+" else -self.factor()
        value = self.atom()
        while self.peek() in ("^", "!"):
            if self.take() == "!":
                value = self.sympy.factorial(value)
                continue
            if (
                self.peek() == "{" and self.parts[self.at + 1 : self.at + 3] == ["\\circ", "}"]
            ) or self.peek() == "\\circ":
                self.at += 3 if self.peek() == "{" else 1
                value = value * self.sympy.pi / 180
                continue
            value = self.power(value, self.argument())
        return value

    def power(self, base: Any, exponent: Any) -> Any:
        """A power, which must not be too large to be worked out."""
        if base.is_Rational and exponent.is_Rational and exponent != 0:
            size = max(int(base.p).bit_length(), int(base.q).bit_length())
            if size * abs(int(exponent)) > LONGEST_POWER:
                raise Unread("a huge power")
        return base**exponent

    def argument(self) -> Any:
        """What one command or power takes: a group in braces, or one token."""
        if self.peek() == "{":
            return self.group("{", "}")
        if self.peek() == "-":
            self.take()
            return -self.argument()
        token = self.peek()
        if token and token[0].isdigit() and len(token) > 1:  # x^10 of plain text
            return self.number()
        return self.atom()

    def group(self, left: str, right: str) -> Any:
        """A sum in brackets."""
        self.take(left)
        bars, self.bars = self.bars, 0
        value = self.sum()
        self.bars = bars
        self.take(right)
        return value

    def number(self) -> Any:
        """A number, exactly."""
        return self.sympy.Rational(self.take())

    def atom(self) -> Any:
        """A number, a symbol, a group, or a command with what it takes."""
        token, sympy = self.peek(), self.sympy
        if not token:
            raise Unread("the formula ends early")
        if token[0].isdigit() or token[0] == ".":
            return self.number()
        if token in ("(", "[", "{", "\\{"):
            return self.group(token, {"(": ")", "[": "]", "{": "}", "\\{": "\\}"}[token])
        if token == "|":
            self.take()
            self.bars += 1
            value = self.sum()
            self.bars -= 1
            self.take("|")
            return sympy.Abs(value)
        self.take()
        if token[0].isalpha():
            if token in ("e", "i") and self.peek() != "_":
                return sympy.E if token == "e" else sympy.I
            return sympy.Symbol(token + self.index())
        return self.command(token[1:])

    def command(self, name: str) -> Any:
        """What a command of LaTeX stands for."""
        sympy = self.sympy
        if name in ("frac", "dfrac", "tfrac"):
            over = self.argument()
            return over / self.argument()
        if name == "sqrt":
            root = self.group("[", "]") if self.peek() == "[" else sympy.Integer(2)
            return self.argument() ** (1 / root)
        if name in ("binom", "dbinom", "tbinom"):
            over = self.argument()
            return sympy.binomial(over, self.argument())
        if name in ("pi", "infty"):
            return sympy.pi if name == "pi" else sympy.oo
        if name in _FUNCTIONS or name == "log":
            return self.function(name)
        if name in _GREEK:
            return sympy.Symbol(name + self.index())
        raise Unread(f"\\{name}")

    def index(self) -> str:
        """The subscript of a symbol."""
        if self.peek() != "_":
            return ""
        self.take()
        if self.peek() != "{":
            return f"_{self.take()}"
        start = self.at
        while self.take() != "}":
            pass
        return "_" + "".join(self.parts[start + 1 : self.at - 1])

    def function(self, name: str) -> Any:
        """A function of the next group, or of the product that follows: sin 2x, log_2 8, cos^2 x."""
        sympy, base, power = self.sympy, None, None
        if self.peek() == "_":
            self.take()
            base = self.argument()
        if self.peek() == "^":
            self.take()
            power = self.argument()
        bracket = self.peek() in ("(", "{", "[")
        inside = self.factor() if bracket else self.simple_product()
        called = getattr(sympy, _INVERSES.get(name, name))
        if name == "log":
            value = sympy.log(inside) / sympy.log(base if base is not None else 10)
        elif power == -1 and name in ("sin", "cos", "tan"):
            return getattr(sympy, "a" + name)(inside)
        else:
            value = called(inside)
        return value if power is None else value**power

    def simple_product(self) -> Any:
        """The argument of a function without brackets: factors without signs between them."""
        value = self.factor()
        while (token := self.peek()) and (token[0].isalpha() or token in ("\\pi", "\\theta", "\\alpha", "\\frac")):
            value = value * self.factor()
        return value
