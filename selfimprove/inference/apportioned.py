"""What each of several items takes of a reward that sees all of them in one call.

A reward is asked once for all items of a wave, so that an engine gets one call. To know what it took for one of them it
is asked again for that one alone, by an engine that answers from what it said before: the same question draws the same
reply, and nothing is drawn twice.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from selfimprove.costs import NOTHING, Cost
from selfimprove.interfaces import Ask, Engine, Log, Policy
from selfimprove.logs import Silent
from selfimprove.records import Checkpoint, Rollout

Rewards = Callable[[str, Sequence[Sequence[Rollout]], Policy], list[list[float | None]]]
"""(name of a reward, groups, policy) -> its rewards."""


def rated(
    rewards: Rewards, by: str, groups: Sequence[Sequence[Rollout]], judge: Policy
) -> tuple[list[list[float | None]], list[Cost]]:
    """The rewards of all groups, and what those of each alone take."""
    heard = {id(one): Heard(one) for one in (judge.engine, *judge.helpers.values())}

    def asking(**changes: Any) -> Policy:
        """The judge with its questions counted from the first, so that the same ones have the same seeds."""
        helpers = {role: heard[id(one)] for role, one in judge.helpers.items()}
        return replace(judge, engine=heard[id(judge.engine)], helpers=helpers, calls=itertools.count(), **changes)

    found, costs = rewards(by, groups, asking()), list[Cost]()
    if not any(one.known for one in heard.values()):
        return found, [NOTHING] * len(groups)
    for group in groups:
        for one in heard.values():
            one.asked = {}
        rewards(by, [group], asking(log=Silent()))
        costs.append(sum((cost for one in heard.values() for cost in one.asked.values()), NOTHING))
    return found, costs


class Heard(Engine):
    """The same engine, which answers what it was asked before without drawing it again."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.can = engine.can  # pyright: ignore[reportAttributeAccessIssue]  # its class stands for any engine
        self.known: dict[Any, Any] = {}
        self.asked: dict[Any, Cost] = {}
        """What was asked since this was last emptied, each once, with what it takes."""

    def draw(self, asks: Sequence[Ask], log: Log) -> list[list[Rollout]]:
        names = [(one.checkpoint.path, one.prompt.id, one.n, one.first, one.sampling, one.seed) for one in asks]
        new = dict(reversed([(name, ask) for name, ask in zip(names, asks, strict=True) if name not in self.known]))
        if new:
            self.known |= zip(new, self.engine.draw(list(new.values()), log), strict=True)
        for name in names:
            group = self.known[name]
            tokens = sum(int((one.logprobs or {}).get("count", 0)) for one in group)
            self.asked[name] = Cost(completions=len(group), tokens=tokens)
        return [self.known[name] for name in names]

    def logprobs_of(
        self, checkpoint: Checkpoint, rollouts: Sequence[Rollout], statistic: str = "logprob"
    ) -> list[list[float]]:
        names = [(checkpoint.path, one.id, one.ended, statistic) for one in rollouts]
        new = dict(reversed([(name, one) for name, one in zip(names, rollouts, strict=True) if name not in self.known]))
        if new:
            rows = self.engine.logprobs_of(checkpoint, list(new.values()), statistic)
            self.known |= zip(new, rows, strict=True)
        self.asked |= dict.fromkeys(names, Cost(scored=1))
        return [self.known[name] for name in names]

    def longest(self) -> int:
        return self.engine.longest()

    def embed(self, checkpoint: Checkpoint, texts: Sequence[str]) -> Any:
        return self.engine.embed(checkpoint, texts)

    def close(self) -> None:
        self.engine.close()
