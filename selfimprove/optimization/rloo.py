"""REINFORCE leave-one-out on the recipe's reward, by TRL.

Idea: the baseline of a completion is the mean score of the other completions of its prompt, so it needs no critic.
Survey: reinforcement learning, section 4.3.
Paper: arXiv:2402.14740 (Back to Basics), Ahmadian et al., 2024.
Algorithm:
  1. Draw `num_generations` completions of each prompt of a batch from the weights in training; score them in one call.
  2. The reward is the score minus beta times the log-ratio to the reference, summed over the completion.
  3. The advantage is the reward minus the mean reward of the others in the group; a completion without a score has
     none and is in nobody's mean.
  4. Policy gradient on whole completions, with a clipped probability ratio.
  5. Groups with equal scores teach nothing: they are counted, or with `redraw` replaced by groups of other prompts.
Differs: the paper does not clip; with one update on the same completions, the default, clipping does nothing.
  `normalize_advantages` comes near to REINFORCE++, arXiv:2501.03262, without its token-wise penalty. Samples are drawn
  by TRL's `generate` whatever engine the recipe names, and carry no log-probabilities; a reward that asks the model
  asks the last checkpoint.
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


@register("rloo", paper="2402.14740")
@dataclass
class Rloo(Optimization):
    consumes: ClassVar[Any] = Prompt
    beta: float = 0.05
    """Weight of the log-ratio to the reference in the reward; 0 needs no reference."""
    normalize_advantages: bool = False
    """Bring the advantages of a batch to mean 0 and deviation 1."""
    epsilon: float = 0.2
    """How far the probability ratio may go from 1."""
    num_generations: int = 4
    """Completions of each prompt."""
    num_iterations: int = 1
    """Updates on the same completions."""
    temperature: float = 1.0
    """Temperature of the completions."""
    max_completion_length: int = 512
    """Tokens per completion."""
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
        if self.restart not in ("base", "last") or self.reference not in ("start", "base"):
            raise RecipeError("optimization.rloo takes restart: base or last, and reference: start or base")
        rows = self.per_device_train_batch_size * self.gradient_accumulation_steps
        if self.num_generations < 2 or rows % self.num_generations:
            raise RecipeError(
                f"optimization.rloo: {rows} completions per step (batch size times accumulation) must be a multiple of "
                f"num_generations, which is {self.num_generations} and must be at least 2"
            )

    def optimize(self, records: Sequence[Any], context: Context) -> Checkpoint:
        start = context.start if self.restart == "base" else context.policy.checkpoint
        schedule = training.schedule_of(self, context.seed)
        return training.online(
            "rloo",
            start,
            records,
            context.folder / "model",
            schedule,
            context.log,
            reward=context.reward,
            reference=context.start if self.reference == "base" else start,
            redraw=self.redraw,
            beta=self.beta,
            normalize_advantages=self.normalize_advantages,
            epsilon=self.epsilon,
            num_generations=self.num_generations,
            num_iterations=self.num_iterations,
            temperature=self.temperature,
            max_completion_length=self.max_completion_length,
            mask_truncated_completions=self.mask_truncated_completions,
        )
