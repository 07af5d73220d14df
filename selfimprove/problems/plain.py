"""The exact normal form of a text answer: equal answers have equal forms, and others do not.

Emphasis, quotes, `\\text{}` and the stop of the sentence fall off; white space is one space; case is folded. What can
make another answer stays: accents, superscripts, leading zeros, punctuation inside, and the case of an answer that is a
single symbol or a unit, alone or after a number (g and G, mW and MW).
"""

from __future__ import annotations

import re
import unicodedata

from selfimprove.problems.sentences import denies

_LEFT = (
    "**",
    "__",
    "*",
    "_",
    "~~",
    "```",
    "`",
    '"',
    "'",
    "“",
    "‘",
    "«",
    "„",
    "「",
    "『",
    "《",
    "【",
    "$$",
    "$",
    "\\(",
    "\\[",
)
_RIGHT = (
    "**",
    "__",
    "*",
    "_",
    "~~",
    "```",
    "`",
    '"',
    "'",
    "”",
    "’",
    "»",
    "“",
    "」",
    "』",
    "》",
    "】",
    "$$",
    "$",
    "\\)",
    "\\]",
)
_WRAPS = tuple(zip(_LEFT, _RIGHT, strict=True))
"""What may stand around an answer without being part of it."""
_COMMAND = re.compile(
    r"\\(?:text|textbf|textit|textrm|textsf|texttt|mathrm|mathbf|mathit|mathsf|mbox|emph|operatorname|boxed|fbox)"
    r"\s?\{([^{}]*)\}"
)
_TAG = re.compile(r"<(b|i|u|em|strong|mark|code|p|span)>(.*)</\1>", re.DOTALL | re.IGNORECASE)
_SIGNS = str.maketrans(
    {**dict.fromkeys("‐‑‒–—―−﹣－", "-"), **dict.fromkeys("‘’‚′ʼ", "'"), **dict.fromkeys("“”„″", '"'), "…": "..."}
)
_UNITS = (
    r"(?:[kMGTmµunpc]?(?:m|g|s|A|V|W|J|N|Pa|Hz|L|l|eV|Wh|B|b|bps|Ω|F|T|H|K|C|mol|bar|cal|rad|Bq|Gy|Sv))"
    r"(?:[²³]|\^?[23])?"
)
_QUANTITY = re.compile(rf"(?:[-+]?[0-9.,]+ ?)?(?:[^\W\d_]|{_UNITS})")
_WORDS = frozenset(["TV", "tv", "PC", "pc", "PS", "ps", "pm", "us", "ms", "ma", "no", "pa"])
"""Words and usual spellings that look like units."""


def peel(text: str) -> str:
    """An answer without emphasis, quotes, the commands of LaTeX for text, and the stop of its sentence."""
    text, before = text.strip(), None
    for _ in range(20):  # deeper wraps are no emphasis; a long text must not be taken apart sign by sign
        if text == before:
            break
        before = text
        text = _COMMAND.sub(r"\1", text).strip()
        if tag := _TAG.fullmatch(text):
            text = tag[2].strip()
        if (
            len(text) > 1
            and (text[-1] in ".。,;:" or re.search(r"(?:[^\W\d_]|[*_\"'”])!$", text))
            and not text.endswith("...")
        ):
            text = text[:-1].rstrip()
        for left, right in _WRAPS if text.startswith(_LEFT) else ():
            if len(text) > len(left) + len(right) and text.startswith(left) and text.endswith(right):
                inside = text[len(left) : len(text) - len(right)]
                if left not in inside and right not in inside:
                    text = inside.strip()
                    break
    for mark in ("**", "__"):
        if text.startswith(mark) and text.count(mark) == 1:
            text = text[len(mark) :].lstrip()
    for left, right in (
        ("**", "**"),
        ("*", "*"),
        ("_", "_"),
        ("$", "$"),
        ("{", "}"),
        ('"', '"'),
        ("“", "”"),
        ("`", "`"),
    ):
        if (
            len(text) > len(right)
            and text.endswith(right)
            and text.count(left) + (left != right) * text.count(right) == 1
        ):
            text = text[: -len(right)].rstrip(" .")  # the other end stood before the answer: `**Answer: Paris**`
    return text


def normal(text: str) -> str:
    """The normal form of an answer; "" for a blank one."""
    text = " ".join(_composed(peel(text)).translate(_SIGNS).split())
    text = re.sub(r"(?<=[^\s.])\.+$", "", text)
    folded = unicodedata.normalize("NFC", text.casefold())
    return text if _quantity(text) or _quantity(folded) else folded


def _quantity(text: str) -> bool:
    """Whether a text is a single symbol or a unit, alone or after a number, whose case says what it is."""
    return text not in _WORDS and _QUANTITY.fullmatch(text) is not None and not text.isdigit()


def core(value: str) -> str:
    """What a statement gives as the answer, without the remark that follows it."""
    value = value.strip()
    first = _FIRST.match(value)
    if first and len(first[0]) < len(value):
        return first[2]
    remark = _REMARK.search(value)
    return value[: remark.start()] if remark and remark.start() > 0 else value


_FIRST = re.compile(r"(\*\*?|\"|`|“)([^*\"`“”\n]{1,200})(?:\*\*?|\"|`|”)(?=[\s,;.(}])")
_REMARK = re.compile(r",\s(?:which|because|since|so|as|where|who|not)\s|\s(?:because|since|rather than|instead of)\s")


def _composed(text: str) -> str:
    """The text in one Unicode form. Other forms of a letter or digit become the usual one, superscripts stay."""
    return unicodedata.normalize(
        "NFC",
        "".join(
            unicodedata.normalize("NFKC", char)
            if unicodedata.decomposition(char).startswith(("<wide>", "<narrow>", "<noBreak>", "<compat>", "<font>"))
            else char
            for char in text
        )
        if not text.isascii()
        else text,
    )


_BOLD = re.compile(r"\*\*([^*\n]{1,200})\*\*")
_IS = re.compile(
    r"(?:^|\s)(?:is|was|are|were|equals|be)\s(?:called\s|named\s|indeed\s|therefore\s|thus\s)?(?!not\b)", re.IGNORECASE
)


def asserted(sentence: str) -> str:
    """What a sentence asserts: its only emphasised words, else the words after its last verb if they are few."""
    bold = _BOLD.findall(sentence)
    if len(bold) == 1 and len(peel(sentence)) > len(bold[0]):
        return bold[0]
    verbs = [*_IS.finditer(sentence)]
    after = sentence[verbs[-1].end() :] if verbs and not denies(sentence[: verbs[-1].start()]) else ""
    return after if 0 < len(after.split()) <= 6 else sentence
