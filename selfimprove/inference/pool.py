"""Samples of problems, stored or just drawn, and the hand in which they are dealt to a method; see `arena`."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from selfimprove.interfaces import Budget, Sampling, Spent
from selfimprove.records import Prompt, Rollout, changed

ORDERS = 64
"""Orders in which the samples of a problem are dealt to a method: 64 for each of 100 problems are 6400 runs of it."""


class Beyond(Exception):
    """A method asks for more than stored samples have, so only the model itself can answer.

    Args:
        what: what it asks for.
        sampling: how it wants its attempts drawn, if samples drawn like that would do.
    """

    def __init__(self, what: str, sampling: Sampling | None = None) -> None:
        super().__init__(what)
        self.what, self.sampling = what, sampling


@dataclass(frozen=True)
class Sample:
    """A stored completion of a problem."""

    rollout: Rollout
    """Of the problem without its reference answer."""
    answer: str | None
    """What the task reads as its answer."""
    mark: float
    """The task's mark."""

    @property
    def tokens(self) -> int:
        """Its length in tokens."""
        return int((self.rollout.logprobs or {}).get("count", 0))


NONE = Sample(Rollout(prompt=Prompt(prompt=[]), completion=[{"role": "assistant", "content": ""}]), None, 0.0)
"""What stands for a completion that the budget cut short: nothing can be read in it."""


@dataclass
class Pool:
    """Samples of problems.

    Args:
        prompts: the problems, without reference answers.
        seed: decides the orders.
    """

    prompts: Sequence[Prompt]
    seed: int = 0
    samples: dict[Sampling, list[list[Sample]]] = field(default_factory=dict)
    """How they were drawn -> the samples of each problem; one of each if the temperature is 0."""

    def __post_init__(self) -> None:
        self._orders = dict[tuple[int, int], list[Sequence[int]]]()
        self.known: list[dict[tuple[str, bool], Sample]] = [{("", True): NONE} for _ in self.prompts]
        """For each problem: what the task's rules see of a completion -> the sample."""
        for groups in self.samples.values():
            self._know(groups)

    def add(self, sampling: Sampling, groups: list[list[Sample]]) -> None:
        """More samples of each problem."""
        self.samples[sampling] = groups
        self._know(groups)

    def _know(self, groups: Sequence[Sequence[Sample]]) -> None:
        for known, group in zip(self.known, groups, strict=True):
            known.update((spelled(one.rollout), one) for one in group)

    def find(self, wanted: Sampling) -> list[list[Sample]]:
        """The samples that were drawn as a method wants its attempts; more notes than it wants do no harm.

        Raises:
            Beyond: there are none.
        """
        for known, groups in self.samples.items():
            noted = set(wanted.note) <= set(known.note) and wanted.tops <= known.tops
            if noted and replace(known, note=(), tops=0) == replace(wanted, note=(), tops=0):
                return groups
        raise Beyond("attempts that are drawn in another way", wanted)

    def order(self, place: int, number: int, size: int) -> Sequence[int]:
        """One of the orders in which a problem's samples are dealt; the first is that in which they were drawn.

        All methods get the same orders, so they are compared on the same samples.
        """
        if (place, size) not in self._orders:
            source = random.Random(f"{self.seed} {self.prompts[place].id} {size}")
            shuffled = [source.sample(range(size), size) for _ in range(ORDERS - 1)]
            self._orders[place, size] = [range(size), *shuffled]
        return self._orders[place, size][number]


def spelled(rollout: Rollout) -> tuple[str, bool]:
    """What the task's rules see of a completion."""
    return rollout.completion[-1]["content"], rollout.truncated


class Hand:
    """The samples of a problem in one order, and what was taken of them within the budget."""

    def __init__(self, pool: Pool, place: int, order: int, budget: Budget) -> None:
        self.pool, self.place, self.order, self.budget = pool, place, order, budget
        self.taken: dict[int, int] = {}
        self.tokens, self.completions, self.cut, self.chance = 0, 0, 0, False

    def take(self, n: int, sampling: Sampling) -> list[Rollout]:
        """The next n samples; fewer, with the last one cut short, where the budget does not pay for all.

        Raises:
            Beyond: there are not as many.
            Spent: the budget pays for none.
        """
        own = self.pool.find(sampling)[self.place]
        begin = self.taken.get(id(own), 0)
        if sampling.temperature == 0:
            chosen = [own[0]] * n
        else:
            order = self.pool.order(self.place, self.order, len(own))
            chosen = [own[number] for number in order[begin : begin + n]]
            rest = sum(own[number].tokens for number in order[begin:]) if len(chosen) < n else 0
            if len(chosen) < n and rest < self.budget.tokens - self.tokens:
                raise Beyond(f"more than the {len(own)} stored samples of a problem")
            self.taken[id(own)], self.chance = begin + n, True
        got = list[Rollout]()
        for sample in chosen:
            left = self.budget.tokens - self.tokens
            if left < 1 or self.completions >= self.budget.completions:
                self.cut += 1
                break
            self.completions += 1
            if sample.tokens > left:
                self.cut += 1
                self.tokens += int(left)
                got.append(_shortened(sample, int(left)))
                break
            self.tokens += sample.tokens
            got.append(sample.rollout)
        if not got:
            raise Spent
        return got


def _shortened(sample: Sample, tokens: int) -> Rollout:
    """A completion of which the budget pays the beginning: nothing is read in it, even if only its end is missing."""
    whole = sample.rollout.logprobs or {"sum": 0.0, "count": tokens}
    kept = {"sum": whole["sum"] * tokens / whole["count"], "count": tokens}
    noted = {name: row[:tokens] for name, row in sample.rollout.noted.items()}
    return changed(
        sample.rollout,
        completion=[{"role": "assistant", "content": ""}],
        logprobs=kept,
        noted=noted,
        tops=sample.rollout.tops[:tokens],
        info={"finish_reason": "length"},
    )
