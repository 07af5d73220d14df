"""Checks of instructions about the form of a text: those of IFEval, by name. Pure functions.

Each check takes the text and the instruction's values. Names, values and rules are those of IFEval (arXiv:2311.07911),
strict version; words and phrases are matched literally, never as regular expressions.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from selfimprove.problems.thoughts import said

Values = Mapping[str, Any]
Check = Callable[[str, Values], bool]
OPTIONS = ("My answer is yes.", "My answer is no.", "My answer is maybe.")
"""The answers that `detectable_format:constrained_response` allows."""
_FENCE = re.compile(r"\A```(?:json)?|```\Z", re.IGNORECASE)
_POSTSCRIPTS = {"P.P.S": r"p\.\s?p\.\s?s", "P.S.": r"p\.\s?s\."}


def _compared(count: int, relation: str | None, bound: int) -> bool:
    """Whether a count is `less than` or `at least` a bound."""
    return count < bound if relation == "less than" else count >= bound


def _occurrences(word: str, text: str, whole: bool = False) -> int:
    pattern = re.escape(word.strip())
    return len(re.findall(rf"\b{pattern}\b" if whole else pattern, text, re.IGNORECASE))


def _parts(pieces: list[str]) -> int | None:
    """The number of pieces with text; None if a piece other than the first and last is empty."""
    if any(not piece.strip() for piece in pieces[1:-1]):
        return None
    return sum(bool(piece.strip()) for piece in pieces)


def _first_word(text: str, values: Values) -> bool:
    """Whether the text has the given number of paragraphs and the n-th one starts with the word."""
    paragraphs = text.split("\n\n")
    full, nth = sum(bool(part.strip()) for part in paragraphs), int(values["nth_paragraph"])
    words = paragraphs[nth - 1].split() if 0 < nth <= full else []
    first = re.split(r"[.,?!'\"]", words[0].lstrip("'").lstrip('"'))[0].lower() if words else ""
    return full == values["num_paragraphs"] and first == values["first_word"].lower()


def _bullets(text: str, values: Values) -> bool:
    return len(re.findall(r"^[^\S\n]*(?:\*[^*\n]|-)", text, re.MULTILINE)) == values["num_bullets"]


def _highlights(text: str, values: Values) -> bool:
    single = [part for part in re.findall(r"\*([^\n*]*)\*", text) if part.strip()]
    double = [part for part in re.findall(r"\*\*([^\n*]*)\*\*", text) if part.strip()]
    return len(single) + len(double) >= values["num_highlights"]


def _sections(text: str, values: Values) -> bool:
    return len(re.findall(rf"{re.escape(values['section_spliter'].strip())}\s?\d+", text)) >= values["num_sections"]


def _postscript(text: str, values: Values) -> bool:
    marker: str = values["postscript_marker"].strip()
    pattern = _POSTSCRIPTS[marker] if marker in _POSTSCRIPTS else re.escape(marker.lower())
    return re.search(pattern, text.lower()) is not None


def _json(text: str, values: Values) -> bool:
    try:
        json.loads(_FENCE.sub("", text.strip()).strip())
    except (ValueError, RecursionError):
        return False
    return True


def _two_responses(text: str, values: Values) -> bool:
    pieces = text.split("******")
    return _parts(pieces) == 2 and len({piece.strip() for piece in pieces if piece.strip()}) == 2


def _quoted(text: str, values: Values) -> bool:
    return len(text.strip()) > 1 and text.strip()[0] == '"' == text.strip()[-1]


CHECKS: dict[str, Check] = {
    "keywords:existence": lambda text, v: all(_occurrences(word, text) for word in v["keywords"]),
    "keywords:frequency": lambda text, v: _compared(_occurrences(v["keyword"], text), v["relation"], v["frequency"]),
    "keywords:forbidden_words": lambda text, v: not any(_occurrences(w, text, True) for w in v["forbidden_words"]),
    "keywords:letter_frequency": lambda text, v: _compared(
        text.lower().count(v["letter"].lower()), v["let_relation"], v["let_frequency"]
    ),
    "length_constraints:number_paragraphs": lambda text, v: (
        _parts(re.split(r"\s?\*\*\*\s?", text)) == v["num_paragraphs"]
    ),
    "length_constraints:number_words": lambda text, v: _compared(
        len(re.findall(r"\w+", text)), v["relation"], v["num_words"]
    ),
    "length_constraints:nth_paragraph_first_word": _first_word,
    "detectable_content:number_placeholders": lambda text, v: (
        len(re.findall(r"\[[^\[\]\n]*\]", text)) >= v["num_placeholders"]
    ),
    "detectable_content:postscript": _postscript,
    "detectable_format:number_bullet_lists": _bullets,
    "detectable_format:constrained_response": lambda text, v: any(option in text for option in OPTIONS),
    "detectable_format:number_highlighted_sections": _highlights,
    "detectable_format:multiple_sections": _sections,
    "detectable_format:json_format": _json,
    "detectable_format:title": lambda text, v: re.search(r"<<[^\n<>]*[^\s<>][^\n<>]*>>", text) is not None,
    "combination:two_responses": _two_responses,
    "combination:repeat_prompt": lambda text, v: text.strip().lower().startswith(v["prompt_to_repeat"].strip().lower()),
    "startend:end_checker": lambda text, v: text.strip().strip('"').lower().endswith(v["end_phrase"].strip().lower()),
    "startend:quotation": _quoted,
    "change_case:english_capital": lambda text, v: text.isupper(),
    "change_case:english_lowercase": lambda text, v: text.islower(),
    "punctuation:no_comma": lambda text, v: "," not in text,
}
"""Name of an instruction -> whether a text follows it. Instructions that need a language detector or a sentence
splitter are left out: response_language, number_sentences, capital_word_frequency."""
NEEDS: dict[str, tuple[str, ...]] = {
    "keywords:existence": ("keywords",),
    "keywords:frequency": ("keyword", "relation", "frequency"),
    "keywords:forbidden_words": ("forbidden_words",),
    "keywords:letter_frequency": ("letter", "let_relation", "let_frequency"),
    "length_constraints:number_paragraphs": ("num_paragraphs",),
    "length_constraints:number_words": ("relation", "num_words"),
    "length_constraints:nth_paragraph_first_word": ("num_paragraphs", "nth_paragraph", "first_word"),
    "detectable_content:number_placeholders": ("num_placeholders",),
    "detectable_content:postscript": ("postscript_marker",),
    "detectable_format:number_bullet_lists": ("num_bullets",),
    "detectable_format:number_highlighted_sections": ("num_highlights",),
    "detectable_format:multiple_sections": ("section_spliter", "num_sections"),
    "combination:repeat_prompt": ("prompt_to_repeat",),
    "startend:end_checker": ("end_phrase",),
}
"""Name of an instruction -> the values that it needs."""


def follows(instructions: Iterable[Sequence[Any]], text: str) -> bool:
    """Whether a response follows all instructions, each given as its name and values: the published strict rule.

    A blank response follows none. Thoughts are no part of a response.
    """
    response = said(text)
    return bool(response.strip()) and all(CHECKS[name](response, values) for name, values in instructions)


def objection(name: str, values: Values) -> str:
    """Why an instruction cannot be checked, or ""."""
    if name not in CHECKS:
        return f"no check exists for {name!r}"
    wrong = [value for value in NEEDS.get(name, ()) if not _usable(value, values.get(value))]
    return f"{name!r} comes without a usable {', '.join(wrong)}" if wrong else ""


def _usable(name: str, value: Any) -> bool:
    """Whether a value has its type: a number, some words, or a text."""
    if name.startswith(("num_", "nth_")) or name.endswith("frequency"):
        return isinstance(value, int | float) and math.isfinite(value)
    words = value if name in ("keywords", "forbidden_words") else [value]
    return isinstance(words, list) and all(isinstance(word, str) and word.strip() for word in words)
