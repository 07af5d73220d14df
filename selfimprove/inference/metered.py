"""An engine whose draws are counted, for the cost of a step; training that draws counts its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from selfimprove.costs import Cost, count
from selfimprove.interfaces import Ask, Engine, Log, numbered
from selfimprove.records import Checkpoint, Rollout


class Metered(Engine):
    """The same engine with counting. Equal prompts in a call count once, as engines draw them once."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.can = engine.can  # pyright: ignore[reportAttributeAccessIssue]  # its class stands for any engine

    def draw(self, asks: Sequence[Ask], log: Log) -> list[list[Rollout]]:
        groups = self.engine.draw(asks, log)
        kinds = numbered([ask.sampling for ask in asks])
        different: dict[Any, dict[int, Rollout]] = {}
        for ask, kind, group in zip(asks, kinds, groups, strict=True):
            greedy = ask.sampling.temperature == 0
            prompt = ask.checkpoint.path, repr(ask.prompt.prompt), kind, 0 if greedy else ask.seed
            different.setdefault(prompt, {}).update(
                enumerate(group[:1] if greedy else group, 0 if greedy else ask.first)
            )
        drawn = [one for group in different.values() for one in group.values()]
        tokens = sum([int(one.logprobs["count"]) for one in drawn if one.logprobs and "count" in one.logprobs])
        count(Cost(completions=len(drawn), tokens=tokens))
        return groups

    def logprobs_of(
        self, checkpoint: Checkpoint, rollouts: Sequence[Rollout], statistic: str = "logprob"
    ) -> list[list[float]]:
        count(Cost(scored=len(rollouts)))
        return self.engine.logprobs_of(checkpoint, rollouts, statistic)

    def longest(self) -> int:
        return self.engine.longest()

    def embed(self, checkpoint: Checkpoint, texts: Sequence[str]) -> Any:
        return self.engine.embed(checkpoint, texts)

    def close(self) -> None:
        self.engine.close()
