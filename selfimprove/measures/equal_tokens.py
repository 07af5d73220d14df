"""What a refinement is worth for its tokens: compared with the vote that as many tokens pay for, on the same problems.

Repeated sampling with a vote is what any tokens can be spent on, so a method that takes more than one sample has to
beat it (arXiv:2310.01798 finds that debate does not at an equal number of responses).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from selfimprove.measures import statistics
from selfimprove.records import Metric

NEAR = 1.05
"""What takes at most this many times the tokens of a plain sample costs no more than one."""


@dataclass(frozen=True)
class Worth:
    """A method against the fixed vote and against one plain sample, by the mean paired difference of marks."""

    votes: float
    """Samples of the vote with the same tokens; fractional, see `mixed`."""
    over_votes: Metric
    over_plain: Metric
    dominated: str
    """`votes`: the vote with as many tokens is better, the interval is below zero. `plain`: it takes more tokens than
    a plain sample, and the interval of its gain over one is not above zero. Empty: neither."""


def mixed(samples: float, votes: Callable[[int], Sequence[float]]) -> list[float]:
    """The expected marks of a vote that uses `samples` samples on average: the next whole number of them with the
    probability that gives this mean, else one fewer. Anyone can vote so, and it takes exactly that many.

    Args:
        samples: at least 1.
        votes: the number of samples -> the expected mark of that vote for each problem.
    """
    few, share = int(samples), samples - int(samples)
    if share < 1e-9:
        return list(votes(few))
    return [(1 - share) * one + share * other for one, other in zip(votes(few), votes(few + 1), strict=True)]


def worth(
    marks: Sequence[float],
    tokens: float,
    *,
    one: float,
    plain: Sequence[float],
    votes: Callable[[int], Sequence[float]],
    most: int,
) -> Worth:
    """Compare the marks of a method with those of votes and of plain samples.

    Args:
        marks: the mark of each problem, or its expectation.
        tokens: mean tokens of an answer.
        one: mean tokens of a sample of the vote.
        plain: the expected mark of one sample for each problem.
        votes: see `mixed`.
        most: the most samples that `votes` has.
    """
    samples = min(float(most), max(1.0, tokens / one if one else 1.0))
    over_votes = statistics.difference(marks, mixed(samples, votes))
    over_plain = statistics.difference(marks, plain)
    beaten = over_votes.high < -1e-9
    idle = tokens > NEAR * one and not over_plain.low > 1e-9
    return Worth(samples, over_votes, over_plain, "votes" if beaten else "plain" if idle else "")


def samples_for(tokens: float, one: float) -> int:
    """The samples of a vote that takes at least so many tokens."""
    return max(1, math.ceil(tokens / one - 1e-9)) if one else 1


@dataclass(frozen=True, kw_only=True)
class Row:
    """A method at a budget, as measured."""

    name: str
    budget: int | None
    """Most tokens of an answer; None sets no limit."""
    accuracy: Metric
    tokens: float
    """Mean tokens of an answer."""
    completions: float
    calls: float
    """Mean calls of tools for an answer."""
    seconds: float
    """Mean seconds for an answer, all problems side by side."""
    cut: float
    """Mean number of times that the budget ended something in an answer."""
    replayed: bool
    """Whether it was scored on stored samples; then the seconds are those of drawing as many tokens."""
    worth: Worth
    over_greedy: Metric | None = None
    """Against the greedy answer to the same problems, whatever that costs; None if it is not known."""


@dataclass(frozen=True, kw_only=True)
class Findings:
    """Refinements of one model, compared at equal tokens."""

    target: str
    task: str
    problems: int
    seed: int
    rows: list[Row]
    left_out: dict[str, str]
    """Methods that cannot be run here, with the reason."""
    one: float
    """Mean tokens of a plain sample, the unit in which methods are compared."""
    plain: Metric
    """Accuracy of one sample."""
    curve: list[tuple[int, Metric]]
    """Samples of the fixed vote, and its accuracy."""
