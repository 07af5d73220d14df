"""Mathematical answers without parts: exact numbers, units, clock times, bases, names, words, expressions."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from math import gcd

from selfimprove.problems import numbers, plain
from selfimprove.problems.arithmetic import arithmetic
from selfimprove.problems.latex import FUNCTIONS, prose, tidy


@dataclass(frozen=True)
class Form:
    """An answer."""

    kind: str
    """number, expression, equation, name, word, time, base, set, tuple, union, matrix, relation."""
    text: str
    """How it is written; of a composed answer, its brackets."""
    parts: tuple[Form, ...] = ()
    equation: str = ""
    """The whole equation of an answer such as y = 2x + 3, whose value is the right-hand side."""


_BASE = re.compile(r"\(?([0-9A-F]+)\)?\s?_\s?(?:\{\s*(?:\\text\s?\{\s*)?\(?(\d+|[a-z]{3,7})\)?\}*|(\d+))")
_TIME = re.compile(r"(\d+(?:\s?:\s?\d+)+)\s?((?:\\(?:text|mathrm)\s?\{)?\s?([aApP])\.?\s?[mM]\.?\s?\}?)?")
_UNIT_WORDS = (
    "cm|mm|km|ft|in|yd|mi|kg|mg|lb|oz|hr|hrs|min|mins|sec|secs|mph|kph|ml|mL|kL|dm|nm|kJ|kW|kPa|Pa|Hz|mol|rad|deg|units|unit"
    "|sq|cu|USD|EUR|dollars|dollar|cents|degrees"
)
_TEXT = r"\\(?:text|mathrm|mbox|textbf|rm|operatorname|textrm)\s?\{(?:[^{}]|\{[^{}]*\})*\}(?:\^\{?-?\d\}?)?"
_UNIT = re.compile(
    rf"(?P<value>.*?(?:[\d)}}%!]|\\pi))\s*(?P<unit>(?:\s*(?:{_TEXT}|\^\\circ(?:\s?[CF]\b)?|\\ |/|\\cdot))+"
    rf"|\s(?:[mgshLNJVWAKC]|[A-Za-z]+\s?/\s?[a-z]+)(?:\^\{{?-?\d\}}?)?"
    rf"|\s?(?:{_UNIT_WORDS})(?:\^\{{?-?\d\}}?|[23])?(?:\s?/\s?[a-z]+(?:\^\{{?\d\}}?)?)?"
    r"|\s+(?:[A-Za-z]+\.?[\s/-]*)*[A-Za-z]{3,}\.?(?:\s[A-Za-z]+)*)\s*",
    re.DOTALL,
)
_SPELLED = {
    word: number
    for number, word in enumerate(["two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"], 2)
}
_SPELLED |= {"eleven": 11, "twelve": 12, "sixteen": 16}
_REALS = re.compile(r"\\mathbb\s?\{?R\}?|all reals?(?: numbers?)?")
_FIGURE = re.compile(r"\\(?:angle|triangle|overline|overrightarrow|vec|widehat|square|odot)\s?\{?\s?[A-Za-z]+\s?\}?'?")
_TEXTS = re.compile(r"(?:\s*\\(?:text|mathrm|mbox|textbf|textit|textrm|operatorname|mathbf)\s?\{([^{}]*)\}\s*)+")


def atom(text: str, read: Callable[[str], Form | None]) -> Form | None:
    """An answer without parts.

    Args:
        read: reads what is left of it without its unit.
    """
    if _REALS.fullmatch(text.strip().removesuffix("}") + ("}" if text.strip().endswith("}") else "")):
        return _line()
    if found := _BASE.fullmatch(text):
        base = found[2] or found[3]
        if base.isdigit() or base in _SPELLED:
            return Form("base", f"{found[1].lstrip('0') or '0'}_{_SPELLED.get(base, base)}")
    if found := _TIME.fullmatch(text):
        return _time([int(part) for part in found[1].split(":")], found[1].replace(" ", ""), (found[3] or "").lower())
    if (value := number(text)) is not None:
        return _number(value)
    if found := _UNIT.fullmatch(text):
        inner = found["value"].strip()
        turned = found["unit"].strip() == "^\\circ" and re.search(r"\\(?:sin|cos|tan|cot|sec|csc)\b", inner)
        if not turned and _balanced(inner) and (form := read(inner)) is not None and form.kind != "word":
            return form
    if text.startswith("$"):
        return read(text[1:])
    if found := _TEXTS.fullmatch(text):
        return _word(" ".join(re.findall(r"\{([^{}]*)\}", text)), read)
    if _FIGURE.fullmatch(text):
        return Form("name", re.sub(r"[\s{}]", "", text))
    if re.fullmatch(r"\(?[A-Z]\)?|[A-Z]{2,}", text):
        return Form("name", text.strip("()"))
    if (
        re.fullmatch(r"[^\W\d_]+", text)
        and (len(text) > 3 or text.istitle() or text in ("yes", "no", "odd"))
        and text not in FUNCTIONS
    ):
        return _word(text, read)
    if prose(text) or not re.search(r"[A-Za-z0-9]", text) or re.fullmatch(r"-?\d+\s+\d[\d\s/]*", text):
        return None
    return Form("expression", re.sub(r"\s+", " ", text).strip())


def _line() -> Form:
    """All real numbers."""
    return Form("tuple", "()", (Form("expression", "-\\infty"), Form("expression", "\\infty")))


def _word(text: str, read: Callable[[str], Form | None]) -> Form | None:
    """A word as an answer; a letter in brackets is a name, a number in a text is a number."""
    text = text.strip()
    if _REALS.fullmatch(text):
        return _line()
    if _TIME.fullmatch(text):
        return read(text)
    if re.fullmatch(r"\(?[A-Z]\)?\.?", text):
        return Form("name", text.strip("()."))
    if (value := number(tidy(text))) is not None:
        return _number(value)
    found = numbers.TOKEN.search(text)
    if found and (form := read(tidy(text.split(" is ")[-1]))) and form.kind == "number":
        return form
    form = plain.normal(re.sub(r"^(?:an?|the) ", "", text, flags=re.IGNORECASE))
    return Form("word", form) if form else None


def _number(value: Fraction) -> Form:
    """A number, with hexadecimal digits if it has thousands of them: Python writes no such decimals."""
    large = max(value.numerator.bit_length(), value.denominator.bit_length()) > 10_000
    return Form("number", f"{value.numerator:#x}/{value.denominator:#x}" if large else str(value))


def _balanced(text: str) -> bool:
    return text.count("{") == text.count("}") and text.count("(") + text.count("[") == text.count(")") + text.count("]")


def _time(parts: list[int], written: str, half: str) -> Form:
    """A clock time as it is written, a ratio in lowest terms."""
    if half or re.fullmatch(r"\d{1,2}:[0-5]\d(?::[0-5]\d)?", written):
        clock = re.sub(r"^0(?=\d)", "", written)
        return Form("time", f"{clock} {half}m" if half else clock)
    common = gcd(*parts) or 1
    return Form("time", ":".join(str(part // common) for part in parts))


def number(text: str) -> Fraction | None:
    """The exact value of a rational number in a tidy formula; a percent sign is a factor."""
    text = text.strip().removeprefix("$").strip().removeprefix("+")
    percent = text.endswith("%")
    text = text.rstrip("% ").replace("^\\circ", "").strip()
    if len(text) > 300 or not re.search(r"\d", text):
        return None
    if mixed := re.fullmatch(r"(-?)\s?(\d+)\s?(?:\\frac\s?\{\s?(\d+)\s?\}\s?\{\s?(\d+)\s?\}| (\d+)\s?/\s?(\d+))", text):
        over, under = int(mixed[3] or mixed[5]), int(mixed[4] or mixed[6])
        if not over < under:
            return None
        value = int(mixed[2]) + Fraction(over, under)
        return (-value if mixed[1] else value) / (100 if percent else 1)
    if re.search(r"\d\s+\d|\d\s?\\frac", text):
        return None
    for _ in range(6):
        flat = re.sub(r"\\frac\s?\{([^{}]*)\}\s?\{([^{}]*)\}", r"((\1)/(\2))", text)
        flat = re.sub(r"\\binom\s?\{\s?(\d{1,4})\s?\}\s?\{\s?(\d{1,4})\s?\}", r"((\1)!/((\2)!*((\1)-(\2))!))", flat)
        flat = re.sub(r"\^\s?\{([^{}]*)\}", r"^(\1)", flat)
        if flat == text:
            break
        text = flat
    text = re.sub(
        r"\\(?:times|cdot)\s?|(?<=\d)[eE](?=[-+]?\d)", lambda found: "*10^" if found[0] in "eE" else "*", text
    )
    if re.search(r"[^\d\s.+\-*/^()!]", text):
        return None
    value = arithmetic(re.sub(r"\*10\^([-+]?\d+)", r"*10^(\1)", text))
    return None if value is None else value / (100 if percent else 1)
