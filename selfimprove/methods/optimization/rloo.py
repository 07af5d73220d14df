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
Differs: rows are single replies: TRL's trainer has no mask for what a world says, which `grpo` has (`turns`). The paper
  does not clip; with one update on the same completions, the default, clipping does nothing.
  `normalize_advantages` comes near to REINFORCE++, arXiv:2501.03262, without its token-wise penalty. Samples are drawn
  by TRL's `generate` whatever engine the recipe names, and carry no log-probabilities; a reward that asks the model
  asks the last checkpoint.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from selfimprove import training
from selfimprove.interfaces import Context, Optimization
from selfimprove.records import Checkpoint, Prompt
from selfimprove.registry import register


@register("rloo", paper="2402.14740")
@dataclass
class Rloo(training.Sampled, Optimization):
    consumes: ClassVar[Any] = Prompt
    beta: float = 0.05
    """Weight of the log-ratio to the reference in the reward; 0 needs no reference."""
    normalize_advantages: bool = False
    """Bring the advantages of a batch to mean 0 and deviation 1."""
    epsilon: float = 0.2
    """How far the probability ratio may go from 1."""
    num_generations: int = 4

    def optimize(self, records: Sequence[Any], context: Context) -> Checkpoint:
        return training.policy_gradient(
            training.job_of(self, context),
            records,
            self,
            context.reward,
            "rloo",
            beta=self.beta,
            normalize_advantages=self.normalize_advantages,
            epsilon=self.epsilon,
        )
