"""The weights in training as an engine, so that data stages can be run by them in the middle of a training step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from selfimprove.costs import Cost, count
from selfimprove.errors import RecipeError
from selfimprove.inference.asks import answers, jobs_of
from selfimprove.inference.decoding import decode_rows
from selfimprove.inference.weights import context_of
from selfimprove.interfaces import Ask, Engine, Log, Policy
from selfimprove.records import Checkpoint, Rollout
from selfimprove.training.native.loop import Live
from selfimprove.training.native.turns import batches


class Acting(Engine):
    """Answers for one checkpoint with the weights in training, and hands everything else to the run's engine."""

    def __init__(self, live: Live, engine: Engine, here: Checkpoint) -> None:
        self.live, self.engine, self.here = live, engine, here

    def draw(self, asks: Sequence[Ask], log: Log) -> list[list[Rollout]]:
        mine = [ask.checkpoint.path == self.here.path for ask in asks]
        own = iter(self._drawn([ask for ask, is_mine in zip(asks, mine, strict=True) if is_mine]))
        rest = [ask for ask, is_mine in zip(asks, mine, strict=True) if not is_mine]
        others = iter(self.engine.draw(rest, log) if rest else [])
        return [next(own if is_mine else others) for is_mine in mine]

    def _drawn(self, asks: Sequence[Ask]) -> list[list[Rollout]]:
        if not asks:
            return []
        if any(ask.sampling.tops or ask.sampling.note or ask.sampling.shape for ask in asks):
            raise RecipeError("weights in training draw plain samples only, without notes, top tokens or shapes")
        model, tokenizer, limit = self.live.model, self.live.tokenizer, self.longest()
        mine, jobs = jobs_of(asks, tokenizer, limit)
        for job in jobs:
            if len(job.prompt) >= context_of(model):  # a judge's prompt with an attempt that ran on
                job.leave()
        open_ = [job for job in jobs if not job.drawn]
        rows = [row for job in open_ for row in job.rows]
        training, drawn = model.training, []
        model.eval()
        for part in batches(rows, 8 * self.live.batch):  # without gradients eight times as many fit
            with self.live.mixed():
                drawn += decode_rows(model, tokenizer, part)
        model.train(training)
        count(Cost(completions=len(drawn), tokens=sum(one.count for one in drawn)))
        ready = iter(drawn)
        for job in open_:
            job.drawn = [next(ready) for _ in job.places]
        return answers(asks, mine, tokenizer, limit)

    def logprobs_of(
        self, checkpoint: Checkpoint, rollouts: Sequence[Rollout], statistic: str = "logprob"
    ) -> list[list[float]]:
        if checkpoint.path == self.here.path:
            raise RecipeError("weights in training give no log-probabilities to an acquisition")
        return self.engine.logprobs_of(checkpoint, rollouts, statistic)

    def longest(self) -> int:
        return self.live.sampling.max_completion_length or self.engine.longest()


def acting(live: Live, policy: Policy, step: int) -> Policy:
    """The policy with the weights in training in place of its own; other parts and engines stay.

    Args:
        step: number of the training step, for the seed of what is drawn.
    """
    here = replace(policy.checkpoint, path=str(live.job.folder / "in training"), base=None, adapter=False)
    seed = policy.seed_at("in training", step)
    return replace(policy, checkpoint=here, engine=Acting(live, policy.engine, here), seed=seed)
