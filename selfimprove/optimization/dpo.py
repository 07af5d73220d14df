"""Direct preference optimization, by TRL, with any of its losses.

Idea: raise the chosen completion over the rejected one, measured against a frozen reference.
Survey: preference optimization, section 4.3.
Paper: arXiv:2305.18290 (DPO), Rafailov et al., 2023; round by round as in arXiv:2401.10020 and arXiv:2404.19733.
Algorithm:
  1. h = beta * ((log pi - log ref)(chosen) - (log pi - log ref)(rejected)); the sigmoid loss is -log sigmoid(h).
  2. Start from the last policy, or with `restart: base` from round 0.
  3. The reference is the model that training starts from, or with `reference: base` that of round 0.
Differs: loss_type [sigmoid, sft] with weights [1, 1] is iterative reasoning preference optimization; TRL averages its
  likelihood term over the tokens of the batch, the paper over each sequence. Self-play fine-tuning (SPIN,
  arXiv:2401.01335) is this method on pairs of a reference solution and the model's own, with sigmoid or hinge; the
  weights of pairs are not looked at, see `scpo`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from selfimprove import training
from selfimprove.errors import RecipeError
from selfimprove.interfaces import Context, Optimization
from selfimprove.records import Checkpoint, Preference
from selfimprove.registry import register


@register("dpo", paper="2305.18290")
@dataclass
class Dpo(Optimization):
    consumes: ClassVar[Any] = Preference
    beta: float = 0.1
    """Strength of the pull to the reference."""
    loss_type: list[str] = field(default_factory=lambda: ["sigmoid"])
    """TRL's loss names, summed: sigmoid, hinge, ipo, sft, ..."""
    loss_weights: list[float] | None = None
    """One weight per loss; null is 1 each."""
    restart: str = "last"
    """Where training starts: `last` or `base`."""
    reference: str = "start"
    """The frozen reference: `start` (where training starts) or `base` (round 0)."""
    learning_rate: float = 1e-6
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
        if self.restart not in ("base", "last") or self.reference not in ("start", "base"):
            raise RecipeError("optimization.dpo takes restart: base or last, and reference: start or base")

    def optimize(self, records: Sequence[Any], context: Context) -> Checkpoint:
        start = context.start if self.restart == "base" else context.policy.checkpoint
        schedule = training.schedule_of(self, context.seed)
        return training.dpo(
            start,
            records,
            context.folder / "model",
            schedule,
            context.log,
            loss_type=self.loss_type,
            loss_weights=self.loss_weights,
            beta=self.beta,
            reference=context.start if self.reference == "base" else start,
        )
