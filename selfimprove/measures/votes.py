"""Votes on the answer to one problem. Each answer is one vote; None does not vote.

Ties: `plurality` gives no label, because training on a coin flip is worse than leaving a problem out. Methods that must
name an answer break ties themselves:

- refinement `self_consistency` must answer: the larger sum of mean token log-probabilities, then the first seen.
- `attempts.majority_at_k` measures the value of a vote: of t tied answers the right one counts 1 / t.
- selection `vote_pairs`, acquisition `debate` (`show: majority`) and the most frequent answer of a diagnosis take the
  one seen first: a pair needs unequal counts, and the others only show a text.
- rewards `soft_vote` and `restrain` weigh every answer by its share, so a tie needs no rule.

The reward `semantic_vote` does not use this module: free texts are never equal, so it clusters similar ones.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any


def tally(answers: Iterable[str | None]) -> Counter[str]:
    """The count of each answer, in the order first seen."""
    counts: Counter[Any] = Counter(answers)
    counts.pop(None, None)
    return counts


def shares(answers: Sequence[str | None]) -> dict[str, float]:
    """The share of each answer among all attempts, including those without an answer; in the order first seen."""
    return {answer: count / len(answers) for answer, count in tally(answers).items()}


def agreement(answers: Sequence[str | None]) -> float:
    """The share of the most frequent answer among all attempts, including those without one; 0 without any answer."""
    return max(shares(answers).values(), default=0.0)


def plurality(answers: Iterable[str | None], min_agreement: float = 0.0) -> str | None:
    """The most frequent answer; None if there is a tie, or if its share of all attempts is below `min_agreement`."""
    given = list(answers)
    ranked = tally(given).most_common(2)
    tied = len(ranked) == 2 and ranked[0][1] == ranked[1][1]
    if not ranked or tied or ranked[0][1] < min_agreement * len(given) - 1e-9:
        return None
    return ranked[0][0]


def surely_ahead(first: int, second: int) -> float:
    """The probability that the first answer has more than half of what two answers get, after so many votes for each.

    It is P(p > 1/2) under Beta(first + 1, second + 1), the posterior of arXiv:2305.11860: a binomial sum.
    """
    tosses = first + second + 1
    return sum(math.comb(tosses, heads) for heads in range(first + 1)) / 2**tosses
