"""Proximal policy optimization with a critic, which gives each token its own advantage.

Idea: one reward for a whole completion says little about its parts. A second model that predicts the remaining reward
gives each token its own share of the credit.
Survey: reinforcement learning, section 4.3.
Paper: arXiv:1707.06347 (PPO), Schulman et al., 2017; advantages arXiv:1506.02438 (GAE); for language models
  arXiv:2203.02155 (InstructGPT), Ouyang et al., 2022.
Algorithm:
  1. Draw `num_generations` completions of each prompt with the weights in training; reward them in one call.
  2. The reward of the last token is that of the completion; every token's reward is reduced by `beta` times its
     log-ratio to the reference.
  3. The critic predicts the remaining reward before each token. Generalized advantage estimation with `lam`, without
     discount, gives advantages, which are normalized to mean 0 and standard deviation 1 over the batch.
  4. `num_iterations` steps of clipped policy gradient on the same completions; the critic is trained on the returns.
Differs: the critic is a second model with a head that starts at 0, new in each round. Its target is the sum of the
  remaining rewards, not the advantage plus its own value, and its loss is not clipped. lam 0.95 is GAE's. Learning
  rates 1e-6 and 1e-5 and beta 1e-3 are from the code of a self-correcting loop (arXiv:2502.19613). One device; the
  project's own decoder draws the completions whatever engine the recipe names, and a reward that asks the model uses
  the last checkpoint.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from selfimprove import training
from selfimprove.bounds import bounded
from selfimprove.interfaces import PROMPTS, Context, Optimization
from selfimprove.records import Checkpoint, Prompt
from selfimprove.registry import register


@register("ppo", paper="1707.06347")
@dataclass
class Ppo(training.Clipped, Optimization):
    consumes: ClassVar[Any] = Prompt
    chooses: ClassVar[str] = PROMPTS
    beta: float = 1e-3
    """Weight of the log-ratio to the reference in the reward; 0 needs no reference."""
    lam: float = bounded(0.95, 0, 1)
    """GAE lambda: how far the critic's error is credited to earlier tokens; 0: only this token, 1: all before it."""
    critic_learning_rate: float = 1e-5
    """Peak learning rate of the critic."""
    num_iterations: int = bounded(4, 1)

    def optimize(self, records: Sequence[Any], context: Context) -> Checkpoint:
        def advantages(draws: training.Draws) -> Any:
            gains = training.generalized_advantages(draws.rewards, draws.values, draws.known, self.lam)
            return training.whiten(gains, draws.known)

        return training.reinforce(
            training.job_of(self, context),
            len(records) * self.num_generations,
            self,
            training.answers(self, records, context),
            advantages,
            penalty=self.beta,
            critic_learning_rate=self.critic_learning_rate,
        )
