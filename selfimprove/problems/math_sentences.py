"""The mathematical answer that a sentence asserts: the formula after its last verb, its last formula, or all of it."""

from __future__ import annotations

import re

from selfimprove.problems import number_answers, numbers
from selfimprove.problems.latex import formulas, prose
from selfimprove.problems.math_atoms import Form
from selfimprove.problems.math_forms import of_value

_VERB = re.compile(
    r"\b(?:is|are|was|were|equals?|be|gives?|gets?|got|obtain|has|have|had|yields?|becomes?|left|costs?|makes?|find|only|exactly|to)\b[\s:]*",
    re.IGNORECASE,
)


def of_sentence(sentence: str) -> Form | None:
    """The answer that a sentence asserts."""
    if not prose(_without_formulas(sentence)):
        return of_value(sentence)
    for verb in reversed([*_VERB.finditer(sentence)]):
        tail = sentence[verb.end() :]
        if re.search(r"\d|\\[a-z]|\$", tail) and (form := of_value(tail)) is not None and form.kind != "word":
            return form
    spans = formulas(sentence)
    if spans:
        start = spans[-1][0]
        for one, after in zip(reversed(spans[:-1]), reversed(spans[1:]), strict=True):
            if not re.fullmatch(r"[\s,]*(?:and|or)?[\s,]*", sentence[one[1] : after[0]]):
                break
            start = one[0]
        return of_value(sentence[start : spans[-1][1]])
    found = [*numbers.TOKEN.finditer(numbers.cleaned(sentence))]
    value = number_answers.of_sentence(sentence) if found else None
    return None if value is None else of_value(value)


def _without_formulas(sentence: str) -> str:
    for start, end, _ in reversed(formulas(sentence)):
        sentence = f"{sentence[:start]} {sentence[end:]}"
    return sentence
