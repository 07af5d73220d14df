"""Group relative policy optimization on the recipe's reward, by TRL, with any of its losses.

Idea: several completions of each prompt are drawn as training goes on; what scores above its group is made likelier.
Survey: reinforcement learning, section 4.3.
Paper: arXiv:2402.03300 (GRPO, DeepSeekMath), Shao et al., 2024; Dr. GRPO arXiv:2503.20783, DAPO arXiv:2503.14476,
  GSPO arXiv:2507.18071, CISPO arXiv:2506.13585 by the options below.
Algorithm:
  1. Draw `num_generations` completions of each prompt of a batch from the weights in training; score them in one call.
  2. The advantage is the score minus the group's mean, over the group's deviation unless `scale_rewards` is none;
     a completion without a score has none and does not count for the mean.
  3. Clipped policy gradient, with beta times the divergence from the reference where beta is not 0.
  4. Groups with equal scores teach nothing: they are counted, or with `redraw` replaced by groups of other prompts.
Differs: the options' values are TRL's; the paper is reported to use 64 completions, rate 1e-6 and beta 0.04. Dr. GRPO's
  loss is loss_type dr_grpo with scale_rewards none, GSPO's importance_sampling_level sequence with grpo, DAPO's
  dapo with epsilon_high 0.28, mask_truncated_completions and redraw. Samples are drawn by TRL's `generate` whatever
  engine the recipe names, and carry no log-probabilities; a reward that asks the model asks the last checkpoint.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from selfimprove import training
from selfimprove.errors import RecipeError
from selfimprove.interfaces import Context, Optimization
from selfimprove.records import Checkpoint, Prompt
from selfimprove.registry import register

CHOICES = {
    "restart": ("last", "base"),
    "reference": ("start", "base"),
    "loss_type": ("grpo", "dr_grpo", "dapo", "bnpo", "cispo", "sapo", "luspo", "vespo"),
    "scale_rewards": ("group", "batch", "none"),
    "importance_sampling_level": ("token", "sequence"),
}


@register("grpo", paper="2402.03300")
@dataclass
class Grpo(Optimization):
    consumes: ClassVar[Any] = Prompt
    loss_type: str = "grpo"
    """TRL's loss name: grpo, dr_grpo, dapo, bnpo, cispo, sapo, luspo or vespo."""
    scale_rewards: str = "group"
    """What the advantage is divided by: the deviation of the `group` or of the `batch`, or `none`."""
    importance_sampling_level: str = "token"
    """Whether each `token` has its probability ratio or the whole `sequence` has one."""
    beta: float = 0.0
    """Weight of the divergence from the reference; 0 needs no reference."""
    epsilon: float = 0.2
    """How far the probability ratio may fall below 1; also how far above, where epsilon_high is null."""
    epsilon_high: float | None = None
    """How far the probability ratio may rise above 1; for cispo the highest ratio itself."""
    num_generations: int = 8
    """Completions of each prompt."""
    num_iterations: int = 1
    """Updates on the same completions."""
    temperature: float = 1.0
    """Temperature of the completions."""
    max_completion_length: int = 512
    """Tokens per completion; dr_grpo divides by it."""
    mask_truncated_completions: bool = False
    """Leave completions that ran into the limit out of the loss."""
    redraw: int = 0
    """Times that groups with equal scores are drawn again, of other prompts."""
    restart: str = "last"
    """Where training starts: `last` or `base`."""
    reference: str = "start"
    """What beta pulls to: `start` (where training starts) or `base` (round 0)."""
    learning_rate: float = 1e-6
    """Peak learning rate."""
    max_steps: int = -1
    """Optimizer steps; -1 leaves it to num_train_epochs."""
    num_train_epochs: float = 1.0
    """Passes over the prompts, where max_steps is -1."""
    per_device_train_batch_size: int = 8
    """Completions per batch and device."""
    gradient_accumulation_steps: int = 1
    """Batches summed up for one optimizer step; their completions are drawn together."""
    warmup_steps: int = 0
    """Steps over which the learning rate rises."""
    lr_scheduler_type: str = "linear"
    """TRL's name of the schedule."""

    def __post_init__(self) -> None:
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise RecipeError(f"optimization.grpo.{name} takes {', '.join(choices)}, not {getattr(self, name)!r}")
        rows = self.per_device_train_batch_size * self.gradient_accumulation_steps
        if self.num_generations < 2 or rows % self.num_generations:
            raise RecipeError(
                f"optimization.grpo: {rows} completions per step (batch size times accumulation) must be a multiple of "
                f"num_generations, which is {self.num_generations} and must be at least 2"
            )

    def optimize(self, records: Sequence[Any], context: Context) -> Checkpoint:
        start = context.start if self.restart == "base" else context.policy.checkpoint
        schedule = training.schedule_of(self, context.seed)
        return training.online(
            "grpo",
            start,
            records,
            context.folder / "model",
            schedule,
            context.log,
            reward=context.reward,
            reference=context.start if self.reference == "base" else start,
            redraw=self.redraw,
            loss_type=self.loss_type,
            scale_rewards=self.scale_rewards,
            importance_sampling_level=self.importance_sampling_level,
            beta=self.beta,
            epsilon=self.epsilon,
            epsilon_high=self.epsilon_high,
            num_generations=self.num_generations,
            num_iterations=self.num_iterations,
            temperature=self.temperature,
            max_completion_length=self.max_completion_length,
            mask_truncated_completions=self.mask_truncated_completions,
        )
