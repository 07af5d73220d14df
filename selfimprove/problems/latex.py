"""Mathematical text in one spelling: LaTeX without layout, Unicode signs as commands; and the formulas in prose."""

from __future__ import annotations

import re
import unicodedata

_COMMANDS = (
    r"×\times ·\cdot ⋅\cdot π\pi ∞\infty ≤\le ≥\ge ⩽\le ⩾\ge ≠\ne ∪\cup ∩\cap ∈\in ∅\emptyset °^\circ ±\pm ≈\approx"
    r" …\ldots ∠\angle θ\theta α\alpha β\beta ∖\setminus √\sqrt"
)
_PLAIN = {
    "−﹣－–": "-",
    "＋": "+",
    "÷∕": "/",
    "（": "(",
    "）": ")",
    "［": "[",
    "］": "]",
    "，、": ",",
    "：": ":",
    "＝": "=",
    "％": "%",
    "€£¥₹₩": "",
    "。！；": " ",
}
SIGNS = str.maketrans(
    {
        **{pair[0]: pair[1:] + " " for pair in _COMMANDS.split()},
        **{sign: into for signs, into in _PLAIN.items() for sign in signs},
        **{"｛": r"\{", "｝": r"\}", "ℝ": r"\mathbb{R}", "ℤ": r"\mathbb{Z}", "√": r"\sqrt", "\u200b": ""},
        **{sign: rf"\frac{{{over}}}{{{under}}}" for sign, over, under in ("½12", "⅓13", "¼14", "⅔23", "¾34")},
        **dict.fromkeys("✓✔✅∴∎", ""),
        **dict.fromkeys("\u00a0\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u3000", " "),
    }
)
"""Unicode sign -> its command in LaTeX, or its ASCII form."""
_SUPERSCRIPTS = re.compile(r"[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻]+")
_SUBSCRIPTS = re.compile(r"[₀₁₂₃₄₅₆₇₈₉]+")
_PATTERNS = [
    (re.compile(pattern), into)
    for pattern, into in (
        (
            r"\\(?:left|right|[bB]igg?[lr]?|displaystyle|textstyle|limits|nolimits)(?![A-Za-z])\s?\.?(?=\s|\\|[^\w.]|\w|$)",
            "",
        ),
        (r"(?<!\\)\\(?:phantom|label|tag|hspace|vspace)\*?\{[^{}]*\}", ""),
        (r"(?<!\\)\\!", ""),
        (r"\\(?:text|mathrm)\s?\{[\s.;:]*\}|\\\\\s*$", " "),
        (r"\{([,.])\}", r"\1"),
        (
            r"\\(?:textcolor|colorbox)\s?\{[^{}]*\}\s?|\\color\s?\{[^{}]*\}\s?|\\(?:large|Large|bf|rm|it)(?![A-Za-z])",
            "",
        ),
        (r"\\(?:boxed|fbox|underline|mathsf|mathtt|mathbf|boldsymbol|bm)\s?\{([^{}]*)\}", r"\1"),
        (
            r"\\frac\s?\{\s*(\\(?:text|mathrm)\s?\{[^{}]*\})\s*\}\s?\{\s*(\\(?:text|mathrm)\s?\{[^{}]*\})\s*\}",
            r" \1/\2",
        ),
        (r"(?<=\d)\s?(?:\\(?:text|mathrm)\s?\{\s*)?\b(?:percent|per cent|percentage|pct)\b\s?\}?", "%"),
        (r"(?<![A-Za-z\\])pi(?![A-Za-z])", r"\\pi "),
        (r"(?<=\d),?\s?(?<!\\)\\[,!:; ]\s?(?=\d{3}(?!\d))", ""),  # 12\,345
        (r"(?<![\d.,])(\d{1,3}) (?=\d{3}(?: \d{3})*(?![\d/]))", r"\1"),  # 12 345
        (r"(?<=\d) (?=\d{3}(?!\d)(?! ?/))", ""),
        (r"(?<![\d.,(\[{])(\d{1,3}(?:,\d{3})+)(?!\d|,\s*\d)", lambda found: found[1].replace(",", "")),
        (r"(?<!\\)\\[,!:; >]|~", " "),
        (r"\\(?:dfrac|tfrac|cfrac)(?![A-Za-z])", r"\\frac"),
        (r"\\frac\s?(\d)\s?(\d)", r"\\frac{\1}{\2}"),
        (r"\\frac\s?(\d)\s?\{", r"\\frac{\1}{"),
        (r"\\frac\s?(\{[^{}]*\})\s?([\da-zA-Z])", r"\\frac\1{\2}"),
        (r"\\?\bsqrt\s?\(([^()]*)\)", r"\\sqrt{\1}"),
        (r"\\sqrt\(([^()]*)\)", r"\\sqrt{\1}"),
        (r"\\sqrt\s?(\d+(?:\.\d+)?|[a-zA-Z](?![a-zA-Z]))", r"\\sqrt{\1}"),
        (r"\\(?:dbinom|tbinom)\b", r"\\binom"),
        (r"\\(?:geqslant|geq)(?![A-Za-z])", r"\\ge"),
        (r"\\(?:leqslant|leq)(?![A-Za-z])", r"\\le"),
        (r"\\neq(?![A-Za-z])", r"\\ne"),
        (r"\\lt(?![A-Za-z])", "<"),
        (r"\\gt(?![A-Za-z])", ">"),
        (r">=", r"\\ge "),
        (r"<=", r"\\le "),
        (r"\\(?:varnothing|O\b|empty)(?![A-Za-z])|\\emptyset|\\\{\s*\\\}|\bempty set\b", r"\\emptyset "),
        (r"\\(?:mathrm|rm|text)\s?\{\s*([ei])\s*\}", r"\1"),
        (r"\\mathrm\s?\{\s*d\s*\}", "d"),
        (r"\\(?:lbrace)(?![A-Za-z])", r"\\{"),
        (r"\\(?:rbrace)(?![A-Za-z])", r"\\}"),
        (r"\\(?:cdotp|bullet)(?![A-Za-z])", r"\\cdot"),
        (r"\\\$", ""),
        (r"\^\{?\\circ\s?\}?|\\degree(?![A-Za-z])", r"^\\circ "),
        (r"\\%", "%"),
    )
]
_REPEATING = re.compile(
    r"(-?)(\d*)\.(\d*)(?:\\(?:overline|bar|dot)\s?\{(\d+)\}|\\(?:overline|bar|dot)\s?(\d)|\((\d+)\)(?!\s?[\^*]))"
)
INLINE = re.compile(r"\$\$(.+?)\$\$|\$(?!\s)([^$]+?)(?<!\s)\$(?!\d)|\\\((.+?)\\\)|\\\[(.+?)\\\]", re.DOTALL)
"""A formula in prose; one of the groups has it."""
_COMMAND = re.compile(
    r"\\(?:text|mathrm|mathbf|textbf|mbox|operatorname|begin|end|mathbb|textit|mathit|textrm)\s?\{[^{}]*\}|\\[A-Za-z]+"
)
_WORD = re.compile(
    r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W\d_]{4,}|(?<![\w\\])(?:is|are|was|it|its|of|so|the|to|we|in|at|an|he|she|get|has|had|for|per|by|his|her|than|or|and|yes|not|do|does|did|my|you|if|as|on|can)(?!\w)",
    re.IGNORECASE,
)
FUNCTIONS = frozenset(
    [
        "sqrt",
        "frac",
        "sinh",
        "cosh",
        "tanh",
        "arcsin",
        "arccos",
        "arctan",
        "sin",
        "cos",
        "tan",
        "cot",
        "sec",
        "csc",
        "log",
        "ln",
        "exp",
        "max",
        "min",
        "gcd",
        "lcm",
        "mod",
        "binom",
    ]
)


def tidy(text: str) -> str:
    """A formula in one spelling."""
    text = _SUPERSCRIPTS.sub(lambda found: "^{" + unicodedata.normalize("NFKC", found[0]).replace("−", "-") + "}", text)
    text = _SUBSCRIPTS.sub(lambda found: "_{" + unicodedata.normalize("NFKC", found[0]) + "}", text)
    if not text.isascii():
        text = "".join(
            unicodedata.normalize("NFKC", c)
            if unicodedata.decomposition(c).startswith(("<wide", "<font")) and c not in "，：（）＝％"
            else c
            for c in text
        )
    text = text.translate(SIGNS)
    for pattern, into in _PATTERNS:
        text = pattern.sub(into, text)
    text = _REPEATING.sub(_repeating, text)
    text = re.sub(r"(?<=[\w)}])\*\*(?=[\w({-])", "^", text)
    text = " ".join(text.replace("**", "").split()).rstrip(" .,;").lstrip(" ,;")
    return text if re.match(r"\.\d", text) else text.lstrip(" .")


def _repeating(found: re.Match[str]) -> str:
    """A repeating decimal as a fraction: 0.1\\overline{6} is (16 - 1)/90."""
    sign, whole, fixed = found[1], found[2] or "0", found[3]
    again = found[4] or found[5] or found[6]
    over = int(whole + fixed + again) - int(whole + fixed)
    return rf"{sign}\frac{{{over}}}{{{10 ** len(fixed) * (10 ** len(again) - 1)}}}"


def prose(text: str) -> bool:
    """Whether a text has words between its formulas."""
    return any(found[0].lower() not in FUNCTIONS for found in _WORD.finditer(_COMMAND.sub(" ", text)))


def formulas(text: str) -> list[tuple[int, int, str]]:
    """The formulas in prose: where each begins and ends, and what it says."""
    return [
        (found.start(), found.end(), next(group for group in found.groups() if group is not None))
        for found in INLINE.finditer(text)
    ]


def split(text: str, separators: re.Pattern[str]) -> list[str]:
    """The parts of a formula between separators that stand outside all brackets."""
    parts, depth, start, place = list[str](), 0, 0, 0
    while place < len(text):
        char = text[place]
        found = separators.match(text, place) if depth == 0 else None
        if found and found.end() > place:
            parts.append(text[start:place])
            start = place = found.end()
            continue
        if char == "\\":
            escaped = text[place + 1 : place + 2]
            depth += (
                (escaped == "{")
                - (escaped == "}")
                + text.startswith("\\langle", place)
                - text.startswith("\\rangle", place)
            )
            depth += text.startswith("\\begin{", place) - text.startswith("\\end{", place)
            place += 2 if escaped in "{}" and escaped else 1
            continue
        depth = max(0, depth + (char in "([{") - (char in ")]}"))
        place += 1
    return [*parts, text[start:]]
