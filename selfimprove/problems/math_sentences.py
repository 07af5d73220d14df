"""The mathematical answer that a sentence asserts: the formula after its last verb, its last formula, or all of it."""

from __future__ import annotations

import re

from selfimprove.problems import number_answers, numbers, plain
from selfimprove.problems.latex import formulas, prose
from selfimprove.problems.math_atoms import Form
from selfimprove.problems.math_forms import of_value

_VERB = re.compile(
    r"(?<!\\)\b(?:is|are|was|were|equals?|be|gives?|gets?|got|obtain|has|have|had|yields?|becomes?|left|costs?|makes?|find|only|exactly|to)\b[\s:]*",
    re.IGNORECASE,
)


_END_OF_PROOF = re.compile(r"\$?\\(?:blacksquare|square|qed|Box|checkmark)(?![A-Za-z])\$?|[∎■□]")
_IN_BRACKETS = re.compile(
    r"\s\((?:we|since|because|as|note|where|check|the|this|if|with|not|it|rejecting|discarding)\b[^()]*\)"
)
_COMBINED = re.compile(r"\$?\s*\d{0,4}[A-Za-z](?:_\d)?(?:\s?[-+*/]\s?\d{0,4}[A-Za-z](?:_\d)?){1,9}\s?=")
"""The left side of an equation of several names: a + b = 7."""
LONGEST = 4000
"""Characters at the end of a text in which a sentence is looked for."""
_CLOCK = re.compile(r"(?<![\d:.])\d{1,2}:[0-5]\d\s?[aApP]\.?\s?[mM]\b\.?")
_ROWS = re.compile(
    r"\\begin\{(align|aligned|gather|gathered|eqnarray|equation|split|multline)(\*?)\}(.*?)\\end\{\1\2\}", re.DOTALL
)


def flat(text: str) -> str:
    """A text in which the last row stands for each display of several rows."""
    text = text[-LONGEST:]
    text = _END_OF_PROOF.sub("", text)
    return _ROWS.sub(_last_row, text) if "\\begin{" in text else text


def _last_row(found: re.Match[str]) -> str:
    rows = [" ".join(row.replace("&", " ").split()).lstrip("= ") for row in found[3].split("\\\\")]
    return next((row for row in reversed(rows) if row), "")


def word(sentence: str) -> Form | None:
    """The word that a sentence ends with after its verb: `It is an ellipse`."""
    said = re.sub(r"^(?:an?|the)\s", "", plain.peel(plain.asserted(sentence)), flags=re.IGNORECASE)
    return of_value(rf"\text{{{said}}}") if said != sentence and re.fullmatch(r"[A-Za-z][a-z-]+", said) else None


_REASON = re.compile(r",?\s(?:since|because)\s")
"""Where a sentence begins to say why."""


def of_sentence(sentence: str) -> Form | None:
    """The answer that a sentence asserts."""
    reason = _REASON.search(sentence)
    if reason and re.search(r"\d|\$", sentence[: reason.start()]):
        sentence = sentence[: reason.start()]
    sentence = _IN_BRACKETS.sub("", sentence)
    if len(times := _CLOCK.findall(sentence)) == 1:
        return of_value(times[0])
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
        start = spans[-1][0] if _COMBINED.match(sentence[spans[-1][0] :]) else start
        return of_value(sentence[start : spans[-1][1]])
    found = [*numbers.TOKEN.finditer(numbers.cleaned(sentence))]
    value = number_answers.of_sentence(sentence) if found else None
    return None if value is None else of_value(value)


def _without_formulas(sentence: str) -> str:
    for start, end, _ in reversed(formulas(sentence)):
        sentence = f"{sentence[:start]} {sentence[end:]}"
    return sentence
