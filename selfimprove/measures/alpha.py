"""The alpha of a run: how much of it is used up, and how much is left for further tests.

While a run keeps to its plan, each test has its share, and the shares add up to alpha. A test in a round that was added
later may also have the shares of tests that certified, as in the fallback procedure: Wiens, 2003; for a sequence
without a planned end, Tian and Ramdas, arXiv:1910.04900, section 3.

Why that is right: only tests of policies that are not better can certify falsely. Until the first false certificate
every certificate is right, so what was given back came from tests that could not certify falsely. Hence the levels of
the tests that could, the first false one included, add up to at most alpha, however the rounds were chosen; and so does
the probability of a false certificate, because each test has fresh problems.
"""

from __future__ import annotations

from collections.abc import Sequence

from selfimprove.records import Decision
from selfimprove.rounds import Round

DUST = 1e-9
"""Less than this is what adding up shares leaves over; it counts as nothing."""


def decisions(history: Sequence[Round]) -> list[Decision]:
    """The decisions of earlier rounds; each had a share of alpha, which may be 0."""
    return [decision for past in history for decision in (past.decision, past.confirmation) if decision]


def used(given: Sequence[Decision], recycled: bool) -> float:
    """The alpha that decisions used up.

    Args:
        recycled: whether those that certified give their share back.
    """
    counted = (one for one in given if not (recycled and (one.certified or one.verdict == "certify")))
    return sum(one.statistics.get("alpha_r", 0.0) for one in counted)


def remaining(alpha: float, given: Sequence[Decision], recycled: bool) -> float:
    """The alpha that further tests may have in all."""
    rest = alpha - used(given, recycled)
    return rest if rest > DUST else 0.0


def extended(history: Sequence[Round], number: int) -> bool:
    """Whether round `number` was added to the plan: it comes after the planned ones, or after an earlier end.

    Args:
        history: the rounds before it.
    """
    planned = history[0].rounds if history else number
    return number > planned or any(past.confirmation for past in history)
