"""Numbers as people and models write them, with exact values: thousands, fractions, powers, percentages."""

from __future__ import annotations

import re
import unicodedata
from fractions import Fraction

from selfimprove.problems.arithmetic import power

_SPACES = dict.fromkeys(map(ord, "\u00a0\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"), " ")
_SIGNS = str.maketrans(
    {
        **dict.fromkeys("−﹣－‐‑", "-"),
        "＋": "+",
        **dict.fromkeys("×⋅·∙✕", "*"),
        **dict.fromkeys("÷⁄∕", "/"),
        **dict.fromkeys("’′", "'"),
        "％": "%",
        "，": ", ",
        "\u200b": "",
        "\u2060": "",
    }
)
_SUPERSCRIPTS = re.compile(r"[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻]+")
_VULGAR = re.compile(r"[¼½¾⅐-⅞]")
_LATEX = (
    (r"\\(?:left|right|big|Big|bigl|bigr|displaystyle|textstyle|limits)\b|\\[()\[\]]|\\boxed\b", ""),
    (r"\\!", ""),
    (r"\{([,.' ])\}", r"\1"),  # 70{,}000
    (r"(?<=\d),?\s*\\[,!:; ]\s*(?=\d{3}(?!\d))", ","),  # 70\,000
    (r"\\[,!:; ]|~|\\q?quad\b", " "),
    (r"\\(?:text|mathrm|mathbf|textbf|mathit|operatorname|mbox|textrm)\s?\{([^{}]*)\}", r" \1 "),
    (r"\\[dtc]?frac\s?(\d)\s?(\d)(?!\d)", r" \1/\2"),
    (r"(?<=\d)\s?\\[dtc]?frac\s?\{\s*(\d+)\s*\}\s?\{\s*(\d+)\s*\}", r" \1/\2"),
    (r"\\[dtc]?frac\s?\{\s*([-+]?[\d.,]+)\s*\}\s?\{\s*([\d.,]+)\s*\}", r"\1/\2"),
    (r"\\(?:times|cdot|ast)\b", "*"),
    (r"\\div\b", "/"),
    (r"\\([%$#&_])", r"\1"),
    (r"\^\s?\{\s*([-+]?\w+)\s*\}", r"^\1"),
    (r"\^?\{?\\circ\}?|\\degree\b", "°"),
    (r"\\(?:approx|simeq|sim)\b", "≈"),
    (r"\\(?:pm)\b", "±"),
)
_LATEX_PATTERNS = [(re.compile(pattern), into) for pattern, into in _LATEX]
_DIGITS = (
    r"(?:\d{1,3}(?:,\d{3})++(?!\d)|\d{1,2}(?:,\d{2})+,\d{3}(?!\d)|\d{1,3}(?: \d{3})++(?![\d/])"
    r"|\d{1,3}(?:['_]\d{3})++(?!\d)"
    r"|\d{1,3}(?:\.\d{3}){2,}(?!\d)|\d++)(?:\.\d++)?|\.\d++"
)
_SCALES = {"hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9, "trillion": 10**12, "k": 1000}
TOKEN = re.compile(
    rf"(?<![\w.^])(?P<sign>[-+]\s?)?(?:[$€£¥₹₩]|US\$|USD|EUR|Rs\.?)?\s?(?P<sign2>[-+])?(?P<whole>{_DIGITS})"
    r"(?P<exponent>[eE][-+]?\d{1,4}(?!\w))?(?:(?P<over> \d+)? ?/ ?(?P<under>\d[\d,]*))?(?P<power>\^\(?[-+]?\d{1,6}\)?)?"
    r"(?P<ten>\s?\*\s?10\s?\^\(?[-+]?\d{1,4}\)?)?"
    r"(?P<scale>\s(?:hundred|thousand|million|billion|trillion)\b|k\b)?(?P<percent>\s?%)?",
    re.ASCII,
)
"""A number in the text that `cleaned` gives."""


def cleaned(text: str) -> str:
    """A text whose numbers are written in ASCII: without LaTeX, emphasis, and unusual signs, spaces and digits."""
    text = _SUPERSCRIPTS.sub(lambda found: "^" + unicodedata.normalize("NFKC", found[0]).replace("−", "-"), text)
    text = _VULGAR.sub(lambda found: " " + unicodedata.normalize("NFKC", found[0]), text)
    text = text.translate(_SPACES).translate(_SIGNS)
    text = re.sub(r"(?<![\d\s])\s?[–—](?=\s?[$\d.])", " -", text)  # a dash that no number precedes is a minus
    if not text.isascii():
        text = "".join(
            unicodedata.normalize("NFKC", c) if unicodedata.decomposition(c).startswith(("<wide", "<font")) else c
            for c in text
        )
        text = re.sub(r"[^\x00-\x7f]", lambda found: _digit(found[0]), text)
    if "\\" in text or "{" in text or "~" in text:
        for pattern, into in _LATEX_PATTERNS:
            text = pattern.sub(into, text)
    text = re.sub(r"(?<=\d)\s?[xX]\s?(?=\d)", "*", text)
    text = re.sub(r"(?<=[\d)])\*\*(?=\d)", "^", text)
    return re.sub(r"\*\*+|__+|`+", "", text)


def _digit(char: str) -> str:
    """A decimal digit of any script as ASCII, another character as it is."""
    value = unicodedata.decimal(char, None)
    return char if value is None else str(value)


def exact(token: re.Match[str], percent: bool) -> Fraction | None:
    """The value of a match of TOKEN; None if it has none, such as the mixed number 4 10/3.

    Args:
        percent: a percent sign divides by 100; else it is a unit.
    """
    value = _decimal(token["whole"])
    if value is None:
        return None
    if token["exponent"]:
        value *= Fraction(10) ** int(token["exponent"][1:])
    if token["under"]:
        over, under = _decimal(token["over"] or "0"), _decimal(token["under"])
        if not under or over is None:
            return None
        if token["over"] and (over >= under or value.denominator != 1):
            return None
        value = value + over / under if token["over"] else value / under
    for name in ("power", "ten"):
        if token[name]:
            exponent = int(token[name].rsplit("^", 1)[1].strip("()"))
            base = Fraction(10) if name == "ten" else value
            raised = power(base, exponent)
            if raised is None:
                return None
            value = raised * value if name == "ten" else raised
    if token["scale"]:
        value *= _SCALES[token["scale"].strip().lower()]
    if token["percent"] and percent:
        value /= 100
    negative = "-" in f"{token['sign'] or ''}{token['sign2'] or ''}"
    return -value if negative else value


def _decimal(digits: str) -> Fraction | None:
    """The value of digits with separators."""
    plain = re.sub(r"[,'_ ]", "", digits)
    if plain.count(".") > 1:
        plain = plain.replace(".", "")
    return Fraction(plain if plain[0] != "." else f"0{plain}") if 0 < len(plain) <= 4000 else None


def written(value: Fraction) -> str:
    """A value as a decimal number if it ends, else as a fraction: 1250.5, 1/3."""
    under = value.denominator
    twos = (under & -under).bit_length() - 1
    fives, rest = 0, under >> twos
    while rest % 5 == 0:
        rest, fives = rest // 5, fives + 1
    if rest != 1 or max(twos, fives) > 40:
        return str(value)
    places = max(twos, fives)
    if not places:
        return str(value.numerator)
    digits = f"{abs(value.numerator) * 10**places // under:0{places + 1}d}"
    return f"{'-' if value < 0 else ''}{digits[:-places]}.{digits[-places:]}"
