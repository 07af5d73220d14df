"""An engine whose draws are counted: what a run notes of its own cost is counted here and where trainings draw."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from selfimprove.costs import Cost, count
from selfimprove.interfaces import Ask, Engine, Log, Sampling
from selfimprove.records import Checkpoint, Prompt, Rollout


class Metered(Engine):
    """The same engine. A prompt that stands in a call twice counts once, as engines draw it once."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.can = engine.can  # pyright: ignore[reportAttributeAccessIssue]  # its class stands for any engine

    def draw(self, asks: Sequence[Ask], log: Log) -> list[list[Rollout]]:
        groups = self.engine.draw(asks, log)
        different: dict[str, Rollout] = {}
        for ask, group in zip(asks, groups, strict=True):
            greedy = ask.sampling.temperature == 0
            call = repr((ask.checkpoint.path, ask.prompt.prompt, ask.sampling, 0 if greedy else ask.seed))
            for sample, rollout in enumerate(group[:1] if greedy else group, 0 if greedy else ask.first):
                different[f"{sample} {call}"] = rollout
        tokens = sum(int((one.logprobs or {}).get("count", 0)) for one in different.values())
        count(Cost(completions=len(different), tokens=tokens))
        return groups

    def sample(
        self, checkpoint: Checkpoint, prompts: Sequence[Prompt], n: int, sampling: Sampling, seed: int, log: Log
    ) -> list[list[Rollout]]:
        groups = self.engine.sample(checkpoint, prompts, n, sampling, seed, log)
        rows = n if sampling.temperature > 0 else 1  # greedy samples of one prompt are equal
        different = {repr(prompt.prompt): group[:rows] for prompt, group in zip(prompts, groups, strict=True)}
        tokens = sum(int((one.logprobs or {}).get("count", 0)) for group in different.values() for one in group)
        count(Cost(completions=sum(map(len, different.values())), tokens=tokens))
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
