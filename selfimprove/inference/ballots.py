"""Votes over samples: what a candidate carries, how weights decide, and methods that only vote, weigh or stop.

Such a method is a `Voting`: which samples it wants, how many more, and which of them is its answer. It needs only
the candidates, so it can be replayed on stored samples without a model:

    seen = []
    while n := method.more(seen):
        seen += stored[len(seen) : len(seen) + n]
    answer = seen[method.choose(seen)]

`poll` does the same in a session.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from selfimprove.interfaces import Sampling, Session, Spent
from selfimprove.measures.votes import tally
from selfimprove.records import Prompt, Rollout


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """What a vote may know of a sampled answer; plain values, so that it can be stored."""

    answer: str | None
    """The final answer in the task's normal form; a candidate without one cannot win."""
    tokens: int = 0
    logprob: float | None = None
    """Log-probability of the whole completion in nats; None if the engine gives none."""
    noted: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """Statistic -> a number for each token, see `Engine.logprobs_of`. `confidence` is minus the mean log-probability of
    the likeliest tokens, from `Rollout.tops`: high where the distribution is peaked (arXiv:2508.15260)."""
    score: float | None = None
    """What a judge, a verifier or a reward says of it."""

    @property
    def mean_logprob(self) -> float:
        """Log-probability per token in nats; 0 if the engine gives none."""
        return 0.0 if self.logprob is None else self.logprob / max(1.0, self.tokens)


class Voting(ABC):
    """A refinement that samples answers and chooses one of them by a rule; the rule sees only candidates."""

    @abstractmethod
    def sampling(self) -> Sampling:
        """How it samples, with the statistics that the rule needs."""

    @abstractmethod
    def more(self, candidates: Sequence[Candidate]) -> int:
        """How many samples to draw after these; 0 if these are enough. The sum has a bound."""

    @abstractmethod
    def choose(self, candidates: Sequence[Candidate]) -> int:
        """The place of the answer among the candidates, of which there is at least one."""


def candidate_of(rollout: Rollout, answer: str | None) -> Candidate:
    """A completion as a candidate, with everything that was noted while it was drawn."""
    said, noted = rollout.logprobs or {}, dict[str, Sequence[float]](rollout.noted)
    if rollout.tops:
        noted["confidence"] = [-math.fsum(line.values()) / len(line) for line in rollout.tops if line]
    return Candidate(answer=answer, tokens=int(said.get("count", 0)), logprob=said.get("sum"), noted=noted)


async def candidates_of(session: Session, drawn: Sequence[Rollout], *statistics: str) -> list[Candidate]:
    """Completions as candidates with these statistics; what was not noted while drawing costs a forward pass."""
    made = [candidate_of(one, session.answer_of(one)) for one in drawn]
    for name in statistics:
        rows = await session.logprobs_of(drawn, name)
        made = [replace(one, noted={**one.noted, name: row}) for one, row in zip(made, rows, strict=True)]
    return made


async def poll(method: Voting, prompt: Prompt, session: Session, *statistics: str) -> Rollout:
    """The answer of a voting method in a session.

    Args:
        statistics: numbers of tokens that the rule needs also of attempts that another method made.
    """
    drawn, seen = list[Rollout](), list[Candidate]()
    while n := method.more(seen):
        try:
            new = await session.attempts(prompt, n, method.sampling())
        except Spent:
            if not drawn:
                raise
            break
        drawn += new
        seen += await candidates_of(session, new, *statistics)
        if len(new) < n:
            break  # the budget ends here
    return drawn[method.choose(seen)]


# ---- weights -----------------------------------------------------------------------------------------------------
def totals(candidates: Sequence[Candidate], weights: Sequence[float] | None = None) -> dict[str, float]:
    """The sum of the weights of each answer, in the order first seen; without weights its count."""
    sums: dict[str, list[float]] = {}
    for candidate, weight in zip(candidates, weights or [1.0] * len(candidates), strict=True):
        if candidate.answer is not None:
            sums.setdefault(candidate.answer, []).append(weight)
    return {answer: math.fsum(some) for answer, some in sums.items()}


def leaders(candidates: Sequence[Candidate]) -> tuple[int, int]:
    """The votes of the two most frequent answers; 0 for one that there is not."""
    counts = sorted(tally(one.answer for one in candidates).values(), reverse=True)
    first, second, *_ = [*counts, 0, 0]
    return first, second


def winner(candidates: Sequence[Candidate], weights: Sequence[float] | None = None) -> int:
    """The place of the best candidate with the heaviest answer; 0 if none has an answer.

    Of equally heavy answers the one with the larger sum of mean token log-probabilities wins, then the first seen; of
    its candidates the heaviest, then the likeliest per token, then the first. Weights need not add up to 1. Without
    weights this is the plurality of arXiv:2203.11171.
    """
    given = list(weights) if weights is not None else [1.0] * len(candidates)
    heavy, likely = totals(candidates, given), dict.fromkeys(totals(candidates), 0.0)
    for one in candidates:
        if one.answer is not None:
            likely[one.answer] += one.mean_logprob
    if not heavy:
        return 0
    best = max(heavy, key=lambda answer: (heavy[answer], likely[answer]))
    mine = [place for place, one in enumerate(candidates) if one.answer == best]
    return max(mine, key=lambda place: (given[place], candidates[place].mean_logprob))


def shares(values: Sequence[float], temperature: float = 1.0) -> list[float]:
    """Softmax of values among the candidates of one problem; a large temperature makes all alike."""
    most = max(values, default=0.0)
    raised = [math.exp((value - most) / temperature) for value in values]
    return [one / math.fsum(raised) for one in raised]


def borda(values: Sequence[float], power: float) -> list[float]:
    """Weights by rank (arXiv:2502.18581): the best of N gets N ** power, the last 1; the earlier of equal ones ranks
    higher. With power 0 all are alike."""
    ranked = sorted(range(len(values)), key=lambda place: -values[place])
    weights = [0.0] * len(values)
    for rank, place in enumerate(ranked):
        weights[place] = float(len(values) - rank) ** power
    return weights


def mean(values: Sequence[float]) -> float:
    """The mean; 0 of nothing."""
    return math.fsum(values) / max(1, len(values))
