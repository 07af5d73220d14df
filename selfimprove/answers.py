"""The rules by which tasks with data of their own compare a completion with a reference answer. Not a method.

`exact` compares canonical text, `choice` the letters A to J, `math` asks math_verify in a process that can be ended.
The final answer is the last \\boxed{}, else what follows ####, else what follows `answer is`, in completions and in
references, which may be worked solutions.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal

from selfimprove.errors import DataError, RecipeError
from selfimprove.math_worker import LONGEST, ask
from selfimprove.registry import nearest
from selfimprove.text import canonical, choice, final_answer

VERIFIERS = ("exact", "choice", "math")
LOOKED_AT = 200
"""References of a file that `math` looks at before a run; each takes milliseconds."""
_NUMBER = re.compile(r"(?<![\w.])-?(?:\d{1,3}(?:,\d{3})+|\d{1,40})(?:\.\d{1,40})?(?!\w)", re.ASCII)


def check(verifier: str, option: str) -> None:
    """Refuse the name of a verifier that does not exist; `option` is where it stands.

    Raises:
        RecipeError: the message has the nearest name.
    """
    if verifier not in VERIFIERS:
        raise RecipeError(f"{option} cannot be {verifier!r}.{nearest(verifier, VERIFIERS)}")


def mark(verifier: str, answer: str | None, text: str) -> float | None:
    """1 where a completion gives the reference answer, else 0; None where the reference cannot be read."""
    gold = reference(verifier, answer)
    if gold is None:
        return None
    if verifier == "math":
        same = answer_of(verifier, text) == ask("parse", gold)
        return float(same or ask("equal", gold, final_answer(text) or text.strip()[-LONGEST:]) is True)
    whole = verifier == "exact" and final_answer(text) is None and canonical(text) == gold
    return float(whole or answer_of(verifier, text) == gold)


def answer_of(verifier: str, text: str) -> str | None:
    """The final answer in a completion, in the form that the verifier compares; None: there is none."""
    if verifier == "choice":
        return choice(text)
    final = final_answer(text)
    if verifier == "math":
        return ask("parse", final or text.strip()[-LONGEST:]) or canonical(final or "") or None
    return canonical(final or (text.strip().splitlines() or [""])[-1]) or None


def reference(verifier: str, answer: str | None) -> str | None:
    """A reference answer as the verifier compares it; None where the verifier cannot read it."""
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
    """Make sure that the verifier can read the references of a data set, each given with the place where it stands.

    Raises:
        DataError: it cannot read more than a tenth of them; the message names the first.
    """
    asked = answers[:: max(1, len(answers) // LOOKED_AT)] if verifier == "math" else answers
    bad = [(place, answer) for place, answer in asked if reference(verifier, answer) is None]
    if len(bad) * 10 > len(asked):
        raise DataError(
            f"{bad[0][0]}: the verifier {verifier!r} cannot read {len(bad)} of {len(asked)} answers, "
            f"for example {str(bad[0][1])[:80]!r}"
        )


def number_of(text: str) -> str | None:
    """The final answer where that is a number, else the last number of the text: `$1,250.50` as `1250.5`."""
    found = _NUMBER.findall(final_answer(text) or "") or _NUMBER.findall(text)
    if not found:
        return None
    number = format(Decimal(found[-1].replace(",", "")), "f")
    plain = number.rstrip("0").rstrip(".") if "." in number else number
    return "0" if plain in ("-0", "") else plain
