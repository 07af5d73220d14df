"""Kahneman-Tversky optimization on single completions, good or bad, without pairs; by TRL.

Idea: a verifier marks completions and does not compare them. Make good ones more likely and bad ones less likely than
the reference does, each with a value that saturates.
Survey: preference optimization, section 4.3.
Paper: arXiv:2402.01306 (KTO), Ethayarajh et al., 2024.
Algorithm:
  1. A completion is good if its reward is at least `min_score`, else bad; one without a reward is dropped.
  2. r = log pi - log ref; z is the KL divergence from the reference, estimated on completions paired with other
     prompts, at least 0.
  3. The loss is w * (1 - sigmoid(beta * (r - z))) for a good one and w * (1 - sigmoid(beta * (z - r))) for a bad one.
  4. With `balance`, good and bad completions have the same sum of weights w, so that the rarer kind counts as much.
  5. Start from the last policy, or with `restart: base` from round 0; the reference likewise.
Differs: the paper uses a ratio between 1 and 4/3 for the sums of good and bad; `balance` makes it 1. If two completions
  of one prompt are neighbours in a batch, z is estimated on a pair that belongs together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from selfimprove import training
from selfimprove.errors import DataError, RecipeError
from selfimprove.interfaces import Context, Optimization
from selfimprove.records import Checkpoint, Rollout
from selfimprove.registry import register


@register("kto", paper="2402.01306")
@dataclass
class Kto(training.Adapted, training.Referenced, Optimization):
    consumes: ClassVar[Any] = Rollout
    min_score: float = 1.0
    """Completions with at least this reward are good."""
    beta: float = 0.1
    """Strength of the pull to the reference."""
    loss_type: str = "kto"
    """TRL's loss name: `kto`, or `apo_zero_unpaired`, which has no z."""
    balance: bool = True
    """Give the rarer kind a larger weight; otherwise every completion has weight 1."""

    def __post_init__(self) -> None:
        super().__post_init__()
        training.one_of(self, loss_type=("kto", "apo_zero_unpaired"))
        if self.per_device_train_batch_size < 2:
            raise RecipeError("optimization.kto takes batches of 2 at least: z is measured within a batch")

    def optimize(self, records: Sequence[Any], context: Context) -> Checkpoint:
        rows = [one for one in records if one.reward is not None]
        if not rows:
            raise DataError(f"none of {len(records)} completions has a score; name a reward in the recipe")
        good = [one.reward >= self.min_score for one in rows]
        up = down = 1.0
        if self.balance and 0 < sum(good) < len(good):
            ratio = sum(good) / (len(good) - sum(good))
            up, down = max(1.0, 1 / ratio), max(1.0, ratio)
        context.log.metric("train/good", sum(good) / len(good))
        return training.kto(
            training.job_of(self, context),
            rows,
            good,
            loss_type=self.loss_type,
            beta=self.beta,
            desirable_weight=up,
            undesirable_weight=down,
        )
