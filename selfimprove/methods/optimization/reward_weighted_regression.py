"""Reward-weighted regression: SFT with each completion weighted by the exponential of its reward.

Idea: a soft filter, with a temperature between imitating everything and imitating only the best.
Survey: direct optimization, section 4.2.
Paper: arXiv:2407.18219 (RISE), Qu et al., 2024; the method is that of Peters and Schaal, ICML 2007.
Algorithm:
  1. Drop completions without a reward.
  2. The weight is exp(reward / tau), up to a factor that cancels in the weighted mean.
  3. The loss is the weighted mean of -log p over the tokens of a step.
  4. Start from the base model, or with `restart: last` from the policy that made the data.
Differs: RISE weights the turns of a dialogue, here each completion is one turn; the learning rate is our choice.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from selfimprove import training
from selfimprove.bounds import bounded
from selfimprove.errors import DataError
from selfimprove.interfaces import Context, Optimization
from selfimprove.records import Checkpoint, Rollout
from selfimprove.registry import register


@register("reward_weighted_regression", paper="2407.18219")
@dataclass
class RewardWeightedRegression(training.Adapted, training.Trained, Optimization):
    consumes: ClassVar[Any] = Rollout
    tau: float = bounded(1.0, above=0)
    """Temperature of the weights: near 0 only the highest rewards count, at infinity all completions count equally."""
    restart: str = "base"
    learning_rate: float = bounded(1e-5, 0, 100)
    num_train_epochs: float = bounded(3.0, 0, 1e6)

    def optimize(self, records: Sequence[Any], context: Context) -> Checkpoint:
        rows = [one for one in records if one.reward is not None]
        if not rows:
            raise DataError(f"none of {len(records)} completions has a score; name a reward in the recipe")
        best = max(one.reward for one in rows)  # the largest weight is 1: no overflow
        weights = [math.exp((one.reward - best) / self.tau) for one in rows]
        kept = [(one, weight) for one, weight in zip(rows, weights, strict=True) if weight > 1e-6]
        context.log.metric("train/effective_rows", sum(weights) ** 2 / sum(weight**2 for weight in weights))
        return training.sft(
            training.job_of(self, context), [one for one, _ in kept], weights=[weight for _, weight in kept]
        )
