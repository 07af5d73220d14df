"""Simple preference optimization: the reward is the mean log-probability of a token, and there is no reference.

Idea: rank by what decoding ranks by, the likelihood per token, so that length gives no advantage; ask for a margin.
Survey: preference optimization, section 4.3.
Paper: arXiv:2405.14734 (SimPO), Meng et al., 2024.
Algorithm:
  1. m is the mean log-probability of a chosen token minus that of a rejected token.
  2. The loss is -log sigmoid(beta * m - gamma).
  3. Start from the last policy, or with `restart: base` from round 0. No second model is loaded.
Differs: none in the loss. Published ranges: beta 2 to 2.5 (10 in later runs), gamma 0.25 to 0.5 times beta, learning
  rate 3e-7 to 1e-6.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from selfimprove import training
from selfimprove.errors import RecipeError
from selfimprove.interfaces import Context, Optimization
from selfimprove.records import Checkpoint, Preference
from selfimprove.registry import register


@register("simpo", paper="2405.14734")
@dataclass
class Simpo(Optimization):
    consumes: ClassVar[Any] = Preference
    beta: float = 2.0
    """Scale of the reward."""
    gamma: float = 1.0
    """Margin by which the chosen completion must lead."""
    restart: str = "last"
    """Where training starts: `last` or `base`."""
    learning_rate: float = 5e-7
    """Peak learning rate."""
    max_steps: int = -1
    """Optimizer steps; -1 leaves it to num_train_epochs."""
    num_train_epochs: float = 1.0
    """Passes over the pairs, where max_steps is -1."""
    per_device_train_batch_size: int = 8
    """Pairs per step and device."""
    gradient_accumulation_steps: int = 1
    """Batches summed up for one optimizer step."""
    warmup_steps: int = 0
    """Steps over which the learning rate rises."""
    lr_scheduler_type: str = "linear"
    """TRL's name of the schedule."""

    def __post_init__(self) -> None:
        if self.restart not in ("base", "last"):
            raise RecipeError("optimization.simpo takes restart: base or last")

    def optimize(self, records: Sequence[Any], context: Context) -> Checkpoint:
        start = context.start if self.restart == "base" else context.policy.checkpoint
        schedule = training.schedule_of(self, context.seed)

        def loss(pairs: training.Pairs) -> Any:
            from torch.nn.functional import logsigmoid

            lead = pairs.chosen / pairs.chosen_tokens - pairs.rejected / pairs.rejected_tokens
            return -logsigmoid(self.beta * lead - self.gamma)

        return training.pairs(
            start,
            records,
            context.folder / "model",
            schedule,
            context.log,
            loss,
            reference=None,
        )
