"""Votes: what several answers to one problem agree on. Each answer is one vote; None is no vote.

Ties: `plurality` gives no label at all: to train on the fall of a coin is worse than to leave a problem out. Whoever
has to name an answer says how, at its own place:

- refinement `self_consistency` must answer: the larger sum of mean token log-probabilities, then the first seen.
- `attempts.majority_at_k` measures what a vote is worth: of t tied answers the right one counts 1 / t.
- selection `vote_pairs`, acquisition `debate` (`show: majority`) and the most frequent answer of a diagnosis take the
  one seen first: a pair needs unequal counts, and the others only show a text.
- rewards `soft_vote` and `restrain` weigh every answer by its share, so a tie needs no rule.

Reward `semantic_vote` is no part of this: free texts never agree to the letter, it links near ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence


def tally(answers: Iterable[str | None]) -> Counter[str]:
    """How often each answer was given, in the order in which they were first seen."""
    return Counter(answer for answer in answers if answer is not None)


def shares(answers: Sequence[str | None]) -> dict[str, float]:
    """The share of each answer among all, those that gave none included; in the order first seen."""
    return {answer: count / len(answers) for answer, count in tally(answers).items()}


def agreement(answers: Sequence[str | None]) -> float:
    """The share of the most frequent answer among all, those that gave none included; 0 without any answer."""
    return max(shares(answers).values(), default=0.0)


def plurality(answers: Iterable[str | None], min_agreement: float = 0.0) -> str | None:
    """The single most frequent answer; None where it is tied, or has less than this share of all, None included."""
    given = list(answers)
    ranked = tally(given).most_common(2)
    tied = len(ranked) == 2 and ranked[0][1] == ranked[1][1]
    if not ranked or tied or ranked[0][1] < min_agreement * len(given) - 1e-9:
        return None
    return ranked[0][0]
