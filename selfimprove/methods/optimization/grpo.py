"""Group relative policy optimization on the recipe's reward, by TRL, with any of its losses.

Idea: draw several completions of each prompt during training and make those with a reward above their group's mean more
  likely.
Survey: reinforcement learning, section 4.3.
Paper: arXiv:2402.03300 (GRPO, DeepSeekMath), Shao et al., 2024; Dr. GRPO arXiv:2503.20783, DAPO arXiv:2503.14476,
  GSPO arXiv:2507.18071, CISPO arXiv:2506.13585 by the options below.
Algorithm:
  1. Draw `num_generations` completions of each prompt of a batch from the weights in training; reward them in one call.
  2. The advantage is the reward minus the group's mean, divided by the group's standard deviation unless
     `scale_rewards` is none; a completion without a reward has no advantage and does not count in the mean.
  3. Clipped policy gradient, plus beta times the KL divergence from the reference if beta is not 0.
  4. With `turns` above 1 each row is an episode in the environment of its problem. The environment's messages do not
     count in the loss; the reward is the environment's, or else the recipe's reward for the transcript.
  5. With `thinking_budget` a thought that is longer is closed in the model's own form, by tokens that do not count in
     the loss: the model did not choose them.
  6. Groups with equal rewards teach nothing: they are counted, or with `redraw` replaced by groups of other prompts.
Differs: the defaults are TRL's; the paper is reported to use 64 completions, learning rate 1e-6 and beta 0.04. Dr.
  GRPO's loss is loss_type dr_grpo with scale_rewards none, GSPO's importance_sampling_level sequence with grpo, DAPO's
  dapo with epsilon_high 0.28, mask_truncated_completions and redraw. TRL's `generate` draws the samples, or vLLM with
  `use_vllm`, whatever engine the recipe names; a reward that asks the model uses the last checkpoint.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from selfimprove import training
from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Given
from selfimprove.errors import RecipeError
from selfimprove.interfaces import PROMPTS, Context, Optimization
from selfimprove.records import Checkpoint, Prompt
from selfimprove.registry import register

LOSSES = ("grpo", "dr_grpo", "dapo", "bnpo", "cispo", "sapo", "luspo", "vespo")


@register("grpo", paper="2402.03300")
@dataclass
class Grpo(training.Sampled, Optimization):
    consumes: ClassVar[Any] = Prompt
    chooses: ClassVar[str] = PROMPTS
    loss_type: str = "grpo"
    """TRL's loss name: grpo, dr_grpo, dapo, bnpo, cispo, sapo, luspo or vespo."""
    scale_rewards: str = "group"
    """Divisor of the advantage: the standard deviation of the `group` or of the `batch`, or `none`."""
    importance_sampling_level: str = "token"
    """Probability ratio per `token` or per `sequence`."""
    beta: float = 0.0
    """Weight of the KL divergence from the reference; 0 needs no reference."""
    epsilon: float = 0.2
    """How far the probability ratio may fall below 1; also how far above, if epsilon_high is null."""
    epsilon_high: float | None = None
    """How far the probability ratio may rise above 1; for cispo the highest ratio itself."""
    turns: int = bounded(1, 1, 64)
    """Replies of the model in a row at most; above 1 a row is an episode in the world that the task opens."""

    thinking_budget: int | None = bounded(None, 0)
    """Most tokens of a thought, after which it is closed in the model's own form; null: as many as the model likes."""

    def __post_init__(self) -> None:
        super().__post_init__()
        training.one_of(self, loss_type=LOSSES, scale_rewards=("group", "batch", "none"))
        training.one_of(self, importance_sampling_level=("token", "sequence"))
        odd = "turns above 1" if self.turns > 1 else "thinking_budget" if self.thinking_budget is not None else ""
        if odd:  # our own decoder draws
            others = {"use_vllm": self.use_vllm, "redraw": self.redraw, "fsdp_config": self.fsdp_config}
            for name in (name for name, value in {**others, "deepspeed": self.deepspeed}.items() if value):
                raise RecipeError(f"optimization.grpo.{odd} does not go with {name}; leave one of them out")

    def cost(self, given: Given) -> Cost:
        again, turns = self.num_iterations, self.turns
        return training.online_cost(self, given, again=again, turns=turns, redraw=self.redraw)

    def steers_itself(self) -> str:
        return "redraw" if self.redraw else ""

    def optimize(self, records: Sequence[Any], context: Context) -> Checkpoint:
        world = context.world if self.turns > 1 else None
        if world is None and self.thinking_budget is not None:
            world = training.Once
        return training.policy_gradient(
            training.job_of(self, context),
            records,
            self,
            context.reward,
            "grpo",
            world,
            self.turns,
            self.thinking_budget,
            training.steered(records, context),
            loss_type=self.loss_type,
            scale_rewards=self.scale_rewards,
            importance_sampling_level=self.importance_sampling_level,
            beta=self.beta,
            epsilon=self.epsilon,
            epsilon_high=self.epsilon_high,
        )
