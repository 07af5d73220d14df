"""The rules that compare a completion with a reference answer. Not a method.

`exact` compares a normal form of text (`plain`), `choice` the letters A to J (`choices`), `number` exact values
(`number_answers`), `math` structures of expressions (`math_forms`). What a completion states as its answer is found the
same way for all (`reader`). docs/marking.md has the conventions.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from selfimprove.errors import DataError, RecipeError
from selfimprove.problems import choices, math_forms, math_sentences, number_answers, plain, reader, sentences
from selfimprove.problems.math_atoms import Form
from selfimprove.problems.math_compare import same, show
from selfimprove.problems.thoughts import said
from selfimprove.records import Cut
from selfimprove.registry import nearest

VERSION = 2
"""Version of the marking rules. It changes whenever a completion can get another mark than before."""
VERIFIERS = ("exact", "choice", "math")
RULES = {
    **{name: name for name in VERIFIERS},
    **{"gsm8k": "number", "aime": "number", "math500": "math", "mmlu_pro": "choice"},
}
"""A verifier, or a task with a rule of its own -> how its answers are compared."""
LOOKED_AT = 200
"""References of a file that `math` checks before a run."""


def check(verifier: str, option: str) -> None:
    """Refuse an unknown verifier; `option` is the option that names it.

    Raises:
        RecipeError: the message has the nearest name.
    """
    if verifier not in VERIFIERS:
        raise RecipeError(f"{option} cannot be {verifier!r}.{nearest(verifier, VERIFIERS)}")


def read(rule: str, text: str, cut: bool = False) -> str | None:
    """What a rule reads as the answer of a completion, in a form that people understand; None if there is none.

    Args:
        rule: one of RULES.
        cut: the completion was cut off at the length limit.
    """
    return answer_of(rule, Cut(text) if cut else text)


def mark(rule: str, answer: str | None, text: str, cut: bool = False) -> float | None:
    """1 if a completion gives the reference answer, else 0; None if the reference cannot be read.

    Args:
        rule: one of RULES.
        cut: the completion was cut off at the length limit; a `Cut` says this too.
    """
    cut = cut or isinstance(text, Cut)
    kind = RULES[rule]
    if kind == "math":
        gold = _gold(answer or "")
        given = None if gold is None else _math(text, cut)
        return None if gold is None else float(given is not None and same(gold, given))
    if kind == "exact":
        golds = {form for form in (plain.normal(answer or ""), reference(rule, answer)) if form}
        if not golds:
            return None
        return float(
            _exact(text, cut) in golds
            or (not cut and _alone(text, answer or "") in golds and reader.stated(text) is None)
        )
    gold = reference(rule, answer)
    return None if gold is None else float(answer_of(rule, text, cut) == gold)


def answer_of(rule: str, text: str, cut: bool = False) -> str | None:
    """The final answer in a completion, in the normal form of the rule; None if there is no answer.

    Equal answers have equal forms, so votes count them as one.
    """
    cut = cut or isinstance(text, Cut)
    match RULES[rule]:
        case "choice":
            return reader.answer(text, cut, choices.of_value, choices.of_text, choices.is_formula)
        case "number":
            return _number(text, cut)
        case "math":
            given = _math(text, cut)
            return None if given is None else show(given)
        case _:
            return _exact(text, cut)


def reference(rule: str, answer: str | None) -> str | None:
    """A reference answer in the normal form of the rule; None if the rule cannot read it."""
    final = stated(answer or "")
    match RULES[rule]:
        case "choice":
            return choices.of_value(final) if len(final) > 1 else choices.of_value(final.upper())
        case "number":
            return _number(answer or "", cut=False)
        case "math":
            gold = _gold(answer or "")
            return None if gold is None else show(gold)
        case _:
            return plain.normal(final) or None


def stated(answer: str) -> str:
    """The final answer of a reference, which may be a worked solution."""
    return (reader.stated(answer) or answer).strip()


def check_references(verifier: str, answers: Sequence[tuple[str, str | None]]) -> None:
    """Check that the verifier can read the references of a data set, each given with its place in the data.

    Raises:
        DataError: more than a tenth cannot be read; the message names the first.
    """
    asked = answers[:: max(1, len(answers) // LOOKED_AT)] if verifier == "math" else answers
    bad = [(place, answer) for place, answer in asked if not _readable(verifier, answer)]
    if len(bad) * 10 > len(asked):
        raise DataError(
            f"{bad[0][0]}: the verifier {verifier!r} cannot read {len(bad)} of {len(asked)} answers, "
            f"for example {str(bad[0][1])[:80]!r}"
        )


def _readable(verifier: str, answer: str | None) -> bool:
    return (_gold(answer or "") if RULES[verifier] == "math" else reference(verifier, answer)) is not None


def final_answer(text: str) -> str | None:
    """What the last statement of a text says; None if it states no answer."""
    return reader.stated(text)


def number_of(text: str, cut: bool = False) -> str | None:
    """The number that a completion gives as its answer: `$1,250.50` as `1250.5`."""
    return _number(text, cut)


def choice(text: str) -> str | None:
    """The letter A to J that a completion gives as its answer."""
    return answer_of("choice", text)


def judgement(text: str) -> float | None:
    """1 or 0 if the last line of a judge's reply is #y or #n, apart from emphasis; else None."""
    lines = text.strip().splitlines()
    return {"#y": 1.0, "#n": 0.0}.get(lines[-1].strip(" \t*_`.").lower()) if lines else None


# ---- reading by rule ----------------------------------------------------------------------------------------------
def _number(text: str, cut: bool) -> str | None:
    return reader.answer(
        text, cut, number_answers.of_value, lambda rest: reader.of_sentences(rest, number_answers.of_sentence)
    )


def _math(text: str, cut: bool) -> Form | None:
    return reader.answer(text, cut, math_forms.of_value, _math_of_rest)


def _math_of_rest(text: str) -> Form | None:
    text = math_sentences.flat(text)
    found = reader.of_sentences(text, math_sentences.of_sentence)
    return reader.of_sentences(text, math_sentences.word) if found is None else found


@lru_cache(maxsize=1 << 14)
def _gold(answer: str) -> Form | None:
    """The form of a reference; None if it is no mathematics."""
    return math_forms.of_value(stated(answer))


_LONGEST = 4000
"""Characters at the end of a text in which its last line is looked for."""


def _exact(text: str, cut: bool) -> str | None:
    return reader.answer(text, cut, lambda value: plain.normal(plain.core(value)) or None, _last_line)


def _alone(text: str, answer: str) -> str:
    """The normal form of a whole completion; "" if it is much longer than the reference."""
    spoken = said(text).strip()
    return plain.normal(spoken) if len(spoken) <= 2 * len(answer) + 200 else ""


def _last_line(text: str) -> str | None:
    """The last line of a text; what it emphasises, or says after its verb, if it is a sentence."""
    lines = [line for line in text.strip()[-_LONGEST:].splitlines() if line.strip()]
    if not lines:
        return None
    lines[-1] = re.sub(r"^\s*(?:#{1,6}\s|[-*•>]\s(?=\D)|\d{1,2}[.)]\s(?=\D))", "", lines[-1])
    last = (sentences.sentences(lines[-1]) or [lines[-1]])[-1]
    if len(lines[-1].split()) <= 2:
        last = lines[-1]
    elif not sentences.UNKNOWN.search(last):
        last = plain.asserted(last)
    return plain.normal(last) or None
