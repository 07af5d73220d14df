"""Train a generator on right samples, and a verifier on right against wrong ones.

Idea: rejection sampling drops wrong samples, although they show what mistakes look like. A copy of the model that
prefers right to wrong solutions can choose among many samples at inference.
Survey: direct optimization, section 4.2; verifiers at inference, section 5.2.
Paper: arXiv:2402.06457 (V-STaR), Hosseini et al., 2024.
Algorithm:
  1. Take the rewarded rollouts of this round and all earlier rounds; equal texts of a problem count once.
  2. Generator: SFT on those with a reward of at least `right`, from the weights of round 0, or with `restart: last`
     from the newest policy.
  3. Verifier: DPO of right over wrong solutions (reward at most `wrong`) of a problem, all combinations, at most
     `pairs` of them; from the weights of round 0, which are also its reference.
  4. Save the verifier in the folder `verifier` inside the generator's. The refinement `best_of_n` with `scorer:
     verifier` returns the sample that is most likely under it.
Differs: the paper's verifier starts from a model fine-tuned on reference solutions; here that is the model of round 0.
  16 samples per problem and 3 rounds are the paper's, with LoRA; the cap, beta and the steps are our choice. Without a
  pair there is no verifier, and a note says so.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, ClassVar

from selfimprove import training
from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Given
from selfimprove.errors import DataError, RecipeError
from selfimprove.interfaces import Context, Optimization
from selfimprove.logs import MetricLog
from selfimprove.records import Checkpoint, Preference, Rollout
from selfimprove.registry import register


@register("vstar", paper="2402.06457")
@dataclass
class Vstar(training.Adapted, training.Trained, Optimization):
    consumes: ClassVar[Any] = Rollout
    right: float = 1.0
    """Lowest reward of a right solution."""
    wrong: float = 0.0
    """Highest reward of a wrong solution; others are left out."""
    pairs: int = bounded(10, 1)
    """Most pairs per problem."""
    beta: float = 0.1
    """Strength of the verifier's pull to its reference."""
    verifier_learning_rate: float = 1e-6
    """Peak learning rate of the verifier."""
    verifier_max_steps: int = -1
    """Optimizer steps of the verifier; -1 is one pass over the pairs."""
    restart: str = "base"
    learning_rate: float = bounded(1e-5, 0, 100)
    num_train_epochs: float = bounded(3.0, 0, 1e6)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.right > self.wrong:
            raise RecipeError("optimization.vstar needs right above wrong")

    def cost(self, given: Given) -> Cost:
        came = given.flow
        pairs = came.prompts * given.round * min(self.pairs, (came.group * given.round) ** 2 // 4)
        verifier = replace(self, max_steps=self.verifier_max_steps, num_train_epochs=1.0)
        steps = training.planned_steps(self, came.records * given.round, given.processes)
        return Cost(steps=steps + training.planned_steps(verifier, pairs, given.processes))

    def optimize(self, records: Sequence[Any], context: Context) -> Checkpoint:
        rows = training.replayed(records, context)
        groups: dict[str, dict[str, Rollout]] = {}
        for row in rows:
            if isinstance(row, Rollout) and row.reward is not None:
                groups.setdefault(row.prompt.key, {})[row.text] = row
        good = [one for group in groups.values() for one in group.values() if self._right(one)]
        if not good:
            raise DataError(f"vstar: none of {len(rows)} rollouts has a score of {self.right:g} or more")
        made = training.sft(training.job_of(self, context), good)
        self._verifier(self._pairs(groups, context), context)
        return made

    def _right(self, rollout: Rollout) -> bool:
        return rollout.reward is not None and rollout.reward >= self.right - 1e-9

    def _pairs(self, groups: dict[str, dict[str, Rollout]], context: Context) -> list[Preference]:
        source, made = random.Random(context.seed), list[Preference]()
        for group in groups.values():
            right = [one for one in group.values() if self._right(one)]
            wrong = [one for one in group.values() if (one.reward or 0.0) <= self.wrong + 1e-9]
            both = list(product(right, wrong))
            for one, other in source.sample(both, min(self.pairs, len(both))):
                made.append(Preference.of(one, other))
        return made

    def _verifier(self, pairs: Sequence[Preference], context: Context) -> None:
        context.log.metric("vstar/pairs", len(pairs))
        if not pairs:
            context.log.note("vstar: no problem has right and wrong solutions, so there is no verifier in this round")
            return
        job = training.job_of(self, context)
        rates = {"learning_rate": self.verifier_learning_rate, "max_steps": self.verifier_max_steps}
        job = training.Job(
            start=context.start,
            folder=job.folder / "verifier",
            schedule=replace(job.schedule, **rates, num_train_epochs=1.0),
            log=MetricLog(context.log),
            reference=context.start,
        )
        training.dpo(job, pairs, loss_type=["sigmoid"], loss_weights=None, beta=self.beta)
