"""An engine whose tokens are words and whose chances are known, for methods that ask more than once."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest

from selfimprove.inference.desk import Sessions
from selfimprove.interfaces import Ask, Engine, Policy
from selfimprove.methods.task.chain_sums import ChainSums
from selfimprove.records import Message, Rollout

Rule = Callable[[Sequence[Message]], Mapping[str, float]]


class Power(Exception):
    """The end of a process."""


@dataclass
class Words(Engine):
    """Draws completions from the table that `rule` gives for a prompt; a token is a word, and one more is the end."""

    can: ClassVar[frozenset[str]] = frozenset({"stop", "logprobs"})
    rule: Rule = lambda messages: {"?": 1.0}
    most: int = 16
    die_at: int | None = None
    calls: int = 0
    asked: list[Ask] = field(default_factory=list)
    drawn: int = 0

    def longest(self) -> int:
        return self.most

    def draw(self, asks: Sequence[Ask], log: Any) -> list[list[Rollout]]:
        self._call()
        self.asked += asks
        self.drawn += sum(ask.n for ask in asks)
        return [[self._one(ask, number) for number in range(ask.first, ask.first + ask.n)] for ask in asks]

    def logprobs_of(self, checkpoint, rollouts, statistic="logprob"):
        self._call()
        return [[math.log(self.rule(one.prompt.prompt)[one.text])] for one in rollouts]

    def _call(self) -> None:
        if self.calls == self.die_at:
            raise Power
        self.calls += 1

    def _one(self, ask: Ask, number: int) -> Rollout:
        table = self.rule(ask.prompt.prompt)
        if ask.sampling.temperature == 0:
            text = max(table, key=lambda said: table[said])
        else:
            chance = random.Random(repr((ask.seed, ask.prompt.prompt, number)))
            text = chance.choices(list(table), [*table.values()])[0]
        words, limit = text.split(), ask.sampling.max_completion_length or self.most
        whole = len(words) < limit
        return Rollout(
            prompt=ask.prompt,
            completion=[{"role": "assistant", "content": " ".join(words[:limit])}],
            logprobs={"sum": math.log(table[text]), "count": min(len(words) + 1, limit)},
            info={"finish_reason": "stop" if whole else "length"},
        )


@pytest.fixture
def words() -> type[Words]:
    """`words(rule=..., die_at=3)`: an engine that draws from known chances, remembers its asks, and may die."""
    return Words


@pytest.fixture
def power() -> type[Exception]:
    """What the engine `words` dies of."""
    return Power


@pytest.fixture
def chained(make_policy: Callable[..., Policy], quiet_log: Any) -> Callable[..., Policy]:
    """`chained(engine, method, ..., budget=...)`: a policy with a chain of refinements."""

    def make(engine: Engine, *chain: Any, seed: int = 0, task: Any = None, **desk: Any) -> Policy:
        task = task or ChainSums()
        serving = Sessions(task, **desk)
        own = {"chain": chain, "states": tuple({} for _ in chain)}  # an empty chain stays one
        return make_policy(engine, **own, seed=seed, desk=serving, answer_of=task.answer_of, log=quiet_log)

    return make
