"""Supervised fine-tuning with a weight for each completion.

Idea: a selection that is unsure about a completion can give it a smaller weight instead of dropping it.
Survey: direct optimization, section 4.2.
Paper: none of its own; the second term of arXiv:2411.04109 (ScPO) has weights from votes.
Algorithm:
  1. Drop completions of weight 0.
  2. With `average: token` the loss is the sum of w * -log p over all tokens of a step, divided by the sum of their
     weights; with `average: sequence` w weights the mean over a completion's tokens, so that length does not matter.
  3. Start from the base model, or with `restart: last` from the policy that made the data.
Differs: nothing to compare with; weights of 1 and `average: token` are `sft`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from selfimprove import training
from selfimprove.bounds import bounded
from selfimprove.errors import DataError
from selfimprove.interfaces import Context, Optimization
from selfimprove.records import Checkpoint, Rollout
from selfimprove.registry import register


@register("weighted_sft")
@dataclass
class WeightedSft(training.Adapted, training.Trained, Optimization):
    consumes: ClassVar[Any] = Rollout
    average: str = "token"
    """What the weight applies to: each `token`, or the mean over the tokens of a completion (`sequence`)."""
    restart: str = "base"
    learning_rate: float = bounded(1e-5, 0, 100)
    num_train_epochs: float = bounded(3.0, 0, 1e6)

    def __post_init__(self) -> None:
        super().__post_init__()
        training.one_of(self, average=("token", "sequence"))

    def optimize(self, records: Sequence[Any], context: Context) -> Checkpoint:
        wrong = [one.weight for one in records if not 0 <= one.weight < float("inf")]
        if wrong:
            raise DataError(f"weighted_sft was given a weight of {wrong[0]}; the selection must give 0 or more")
        rows = [one for one in records if one.weight > 0]
        if not rows:
            raise DataError(f"all {len(records)} completions have weight 0; nothing to train on")
        return training.sft(
            training.job_of(self, context), rows, weights=[one.weight for one in rows], average=self.average
        )
