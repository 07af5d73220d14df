"""Reads the answer of a completion: what its last statement gives, else what its last assertion gives.

All rules read this way. They differ in what they make of the words of a statement or of a sentence.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

from selfimprove.problems import sentences
from selfimprove.problems.statements import Statement, statements
from selfimprove.problems.thoughts import said

T = TypeVar("T")
_RUN_ON = re.compile(r"^[^\S\n]*+(?:\*\*)?(?:Question|Q|Human|User|Problem)\s*(?:\d{1,3})?\s*:", re.MULTILINE)
_WHICH = re.compile(r"\s*which (?:is|are|means)\b", re.IGNORECASE)
_TEXT = re.compile(r"\\(?:text|textbf|mathrm|mbox)\s?\{([^{}]*)\}")
_ASIDE = re.compile(
    r"\s*(?:which(?! (?:equals|gives|makes|leaves|comes to|totals|amounts to)\b)"
    r"|where|because|since|given|from|as|if|when)\b",
    re.IGNORECASE,
)


def answer(
    text: str,
    cut: bool,
    of_value: Callable[[str], T | None],
    of_rest: Callable[[str], T | None],
    passed: Callable[[str], bool] = lambda value: False,
) -> T | None:
    """The answer of a completion; None if it gives none, or one that cannot be read.

    Args:
        cut: the completion was cut off; then only a statement counts.
        of_value: reads a statement.
        of_rest: reads a text without statements.
        passed: a box or tag with such contents is no answer of this rule, so that an earlier statement counts.
    """
    spoken = said(text)
    found = _own(spoken, statements(spoken, cut))
    start = 0
    for one in reversed(found):
        if one.value:
            value = of_value(inner(one.value) if one.formal else one.value)
            if value is not None:
                return value
            if (one.formal and not passed(one.value)) or sentences.UNKNOWN.search(one.value[:80]):
                return None
        start = max(start, one.end)
    return None if cut or sentences.unfinished(spoken) else of_rest(spoken[start:])


def stated(text: str) -> str | None:
    """The words of the last statement of a text; None if it has none."""
    spoken = said(text)
    found = [one for one in _own(spoken, statements(spoken)) if one.value]
    if not found:
        return None
    return inner(found[-1].value) if found[-1].formal else found[-1].value.rstrip(". ")


def inner(value: str) -> str:
    """What is stated inside of a box or a tag, which may hold a sentence or another box."""
    values = [one.value for one in statements(_TEXT.sub(r"\1", value)) if one.value]
    return values[-1] if values else value


def _own(text: str, found: list[Statement]) -> list[Statement]:
    """The statements before the text goes on with a question of its own."""
    if not found:
        return found
    other = next((one for one in _RUN_ON.finditer(text) if one.start() > found[0].at), None)
    return found if other is None else [one for one in found if one.at < other.start()]


def of_sentences(text: str, of_sentence: Callable[[str], T | None]) -> T | None:
    """What the last sentence asserts that says something readable; questions, denials and remarks assert nothing."""
    for sentence in reversed(sentences.sentences(text)):
        if sentences.asks(sentence) or sentences.remarks(sentence):
            continue
        if sentences.gives_up(sentence):
            return None
        for clause in reversed(sentences.clauses(sentence)):
            if sentences.denies(clause) or _ASIDE.match(clause):
                continue
            if (value := of_sentence(clause)) is not None:
                return value
        for clause in sentences.clauses(sentence)[1:]:
            if _WHICH.match(clause) and (value := of_sentence(clause)) is not None:
                return value
        if sentences.UNKNOWN.search(sentence):
            return None
    return None
