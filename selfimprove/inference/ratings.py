"""Grades of given answers, as probabilities: what a model makes of a row before anybody trains on it.

`grades` asks for one digit and takes the probabilities of the digits as the next token. `verdict` draws judgements in
the task's own role judge, for models that were taught only that; the grades are then two, wrong and right.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from selfimprove.costs import Cost, Given
from selfimprove.errors import RecipeError
from selfimprove.interfaces import Context, Sampling, Session
from selfimprove.needs import Needs
from selfimprove.records import Rollout

FORMS = ("grades", "verdict")
Grades = list[float]
"""The probability of each grade, the lowest first; they add up to 1."""


def check(form: str, option: str) -> None:
    """Whether there is such a form.

    Raises:
        RecipeError: there is not.
    """
    if form not in FORMS:
        raise RecipeError(f"{option}={form} is none of {', '.join(FORMS)}")


def needs(form: str) -> Needs:
    """What asking for grades needs."""
    return Needs(roles=("judge",), engine=("tops",) if form == "grades" else ())


def cost(given: Given, form: str, questions: int, samples: int) -> Cost:
    """The largest cost of so many questions about each row."""
    rows = given.flow.records
    return given.draw(rows * questions, 1) if form == "grades" else given.draw(rows * questions * samples)


def graded(
    rows: Sequence[Rollout], context: Context, form: str, questions: Sequence[str], digits: str, samples: int
) -> list[list[Grades | None]]:
    """For each row and question the grades; None if nothing like a grade was said.

    Args:
        questions: texts that ask for one of the digits; `{problem}` and the answer `{0}` are filled in.
        digits: the grades, the lowest first.
        samples: judgements of a row for each question, in the form `verdict`.
    """

    async def asked(row: Rollout, session: Session) -> list[Grades | None]:
        if form == "grades":
            return await session.all([_digit(row, session, question, digits) for question in questions])
        return await session.all([_verdict(row, session, samples) for _ in questions])

    return context.run(asked, rows)


def expected(grades: Grades, lowest: float, highest: float) -> float:
    """The expected grade, on a scale from the lowest to the highest."""
    step = (highest - lowest) / (len(grades) - 1)
    return sum((lowest + step * place) * share for place, share in enumerate(grades))


async def _digit(row: Rollout, session: Session, question: str, digits: str) -> Grades | None:
    asked = session.words("grade", row.prompt, row.text, otherwise=question)
    tops = await session.tops(asked, 20, role="judge")
    found = dict.fromkeys(digits, 0.0)
    for token, logprob in tops.items():
        if token.strip() in found:
            found[token.strip()] += math.exp(logprob)
    total = sum(found.values())
    return [share / total for share in found.values()] if total else None


async def _verdict(row: Rollout, session: Session, samples: int) -> Grades | None:
    drawn = await session.draw(session.words("judge", row.prompt, row.text), samples, Sampling(), role="judge")
    read = [mark for one in drawn if (mark := session.judgement(one.text)) is not None]
    share = sum(read) / len(read) if read else 0.0
    return [1 - share, share] if read else None
