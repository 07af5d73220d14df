"""The rules that compare a completion with a reference answer, for tasks with data. Not a method.

`exact` compares canonical text, `choice` the letters A to J, `math` asks math_verify in a process that can be killed.
The final answer is the last \\boxed{}, else what follows ####, else what follows `answer is`, in completions and in
references, which may be worked solutions.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from decimal import Decimal

from selfimprove.errors import DataError, RecipeError
from selfimprove.problems.math_worker import LONGEST, ask
from selfimprove.records import Cut
from selfimprove.registry import nearest

VERSION = 2
"""Version of the marking rules. It changes whenever a completion can get another mark than before."""
VERIFIERS = ("exact", "choice", "math")
RULES = {
    **{name: name for name in VERIFIERS},
    "gsm8k": "number",
    "aime": "number",
    "math500": "math",
    "mmlu_pro": "choice",
}
"""A verifier, or a task with a rule of its own -> how its answers are compared."""
LOOKED_AT = 200
"""References of a file that `math` checks before a run; each takes milliseconds."""
_NUMBER = re.compile(r"(?<![\w.])-?(?:\d{1,3}(?:,\d{3})+|\d{1,40})(?:\.\d{1,40})?(?!\w)", re.ASCII)


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
    verifier = RULES[rule]
    if verifier == "number":
        number = number_of(stated(answer or ""))
        return None if number is None else float(number_of(text) == number)
    gold = reference(verifier, answer)
    if gold is None:
        return None
    if verifier == "math":
        same = answer_of(verifier, text) == ask("parse", gold)
        return float(same or ask("equal", gold, final_answer(text) or text.strip()[-LONGEST:]) is True)
    whole = verifier == "exact" and final_answer(text) is None and canonical(text) == gold
    return float(whole or answer_of(verifier, text) == gold)


def answer_of(verifier: str, text: str) -> str | None:
    """The final answer in a completion, in the form that the verifier compares; None if there is no answer."""
    verifier = RULES[verifier]
    if verifier == "number":
        return number_of(text)
    if verifier == "choice":
        return choice(text)
    final = final_answer(text)
    if verifier == "math":
        return ask("parse", final or text.strip()[-LONGEST:]) or canonical(final or "") or None
    return canonical(final or (text.strip().splitlines() or [""])[-1]) or None


def reference(verifier: str, answer: str | None) -> str | None:
    """A reference answer in the form that the verifier compares; None if the verifier cannot read it."""
    final = stated(answer or "")
    if verifier == "choice":
        letter = re.fullmatch(r"\(?([A-J])\)?[.:]?", final.upper())
        return letter[1] if letter else None
    if verifier == "math":
        return final if ask("parse", final) is not None else None
    return canonical(final) or None


def stated(answer: str) -> str:
    """The final answer of a reference, which may be a worked solution."""
    return (final_answer(answer) or answer).strip()


def check_references(verifier: str, answers: Sequence[tuple[str, str | None]]) -> None:
    """Check that the verifier can read the references of a data set, each given with its place in the data.

    Raises:
        DataError: more than a tenth cannot be read; the message names the first.
    """
    asked = answers[:: max(1, len(answers) // LOOKED_AT)] if verifier == "math" else answers
    bad = [(place, answer) for place, answer in asked if reference(verifier, answer) is None]
    if len(bad) * 10 > len(asked):
        raise DataError(
            f"{bad[0][0]}: the verifier {verifier!r} cannot read {len(bad)} of {len(asked)} answers, "
            f"for example {str(bad[0][1])[:80]!r}"
        )


def number_of(text: str) -> str | None:
    """The final answer if it is a number, else the last number of the text: `$1,250.50` as `1250.5`."""
    found = _NUMBER.findall(final_answer(text) or "") or _NUMBER.findall(text)
    if not found:
        return None
    number = format(Decimal(found[-1].replace(",", "")), "f")
    plain = number.rstrip("0").rstrip(".") if "." in number else number
    return "0" if plain in ("-0", "") else plain


def canonical(text: str) -> str:
    """The normal form of an answer under `exact`: Unicode-normalised, lower case, white space folded.

    Problems have a form of their own, `splits.folded`: what marks answers may change, the splits may not.
    """
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


_BOXED = re.compile(r"\\boxed\s*\{")
_BRACE = re.compile(r"[{}]")
_HASHES = re.compile(r"(?<!#)####(?!#)\s*+(.*\S)")
_ANSWER = re.compile(r"\banswer\b(?:\s+is\b)?+\s*+[:=]?+\s*+(.+?)(?:\.\s|\.?$)", re.IGNORECASE | re.MULTILINE)
_CHOICE = re.compile(r"(?<=\()[A-J](?=\))|\b[A-HJ]\b|^\s*I\s*$")


def final_answer(text: str) -> str | None:
    """The final answer of a worked solution: the last \\boxed{}, else after ####, else after 'answer is'.

    None if the text has none of the three.
    """
    starts = {match.end() - 1 for match in _BOXED.finditer(text)}
    boxed, opened = (-1, ""), list[int]()
    for brace in _BRACE.finditer(text):
        if brace[0] == "{":
            opened.append(brace.start())
        elif opened and (start := opened.pop()) in starts:
            boxed = max(boxed, (start, text[start + 1 : brace.start()]))
    if boxed[0] >= 0:
        return boxed[1].strip()
    for pattern in (_HASHES, _ANSWER):
        found = pattern.findall(text)
        if found:
            return found[-1].strip()
    return None


def choice(text: str) -> str | None:
    """The letter A to J of a multiple-choice answer: in the final answer if there is one, else the last in the text."""
    letters = _CHOICE.findall(final_answer(text) or text)
    return letters[-1] if letters else None


def judgement(text: str) -> float | None:
    """1 or 0 if the last line of a judge's reply is #y or #n, apart from emphasis; else None."""
    lines = text.strip().splitlines()
    return {"#y": 1.0, "#n": 0.0}.get(lines[-1].strip(" \t*_`.").lower()) if lines else None
