"""REINFORCE leave-one-out on the recipe's reward, by TRL.

Idea: the baseline of a completion is the mean score of the other completions of its prompt, so it needs no critic.
Survey: reinforcement learning, section 4.3.
Paper: arXiv:2402.14740 (Back to Basics), Ahmadian et al., 2024.
Algorithm:
  1. Draw `num_generations` completions of each prompt of a batch from the weights in training; reward them in one call.
  2. Subtract beta times the log-ratio to the reference, summed over the completion, from the reward.
  3. The advantage is this minus the mean of the others in the group; a completion without a reward has no advantage and
     does not count in a mean.
  4. Policy gradient on whole completions, with a clipped probability ratio.
  5. Groups with equal rewards teach nothing: they are counted, or with `redraw` replaced by groups of other prompts.
Differs: rows are single replies: TRL's trainer cannot mask the messages of an environment, as `grpo` can (`turns`). The
  paper does not clip; with one update on the same completions, the default, clipping has no effect.
  `normalize_advantages` is close to REINFORCE++, arXiv:2501.03262, without its token-wise penalty. TRL's `generate`
  draws the samples whatever engine the recipe names, without log-probabilities; a reward that asks the model uses the
  last checkpoint.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from selfimprove import training
from selfimprove.interfaces import PROMPTS, Context, Optimization
from selfimprove.records import Checkpoint, Prompt
from selfimprove.registry import register


@register("rloo", paper="2402.14740")
@dataclass
class Rloo(training.Sampled, Optimization):
    consumes: ClassVar[Any] = Prompt
    chooses: ClassVar[str] = PROMPTS
    beta: float = 0.05
    """Weight of the log-ratio to the reference in the reward; 0 needs no reference."""
    normalize_advantages: bool = False
    """Normalize the advantages of a batch to mean 0 and standard deviation 1."""
    epsilon: float = 0.2
    """How far the probability ratio may differ from 1."""
    num_generations: int = 4

    def steers_itself(self) -> str:
        return "redraw" if self.redraw else ""

    def optimize(self, records: Sequence[Any], context: Context) -> Checkpoint:
        return training.policy_gradient(
            training.job_of(self, context),
            records,
            self,
            context.reward,
            "rloo",
            steered=training.steered(records, context),
            beta=self.beta,
            normalize_advantages=self.normalize_advantages,
            epsilon=self.epsilon,
        )
