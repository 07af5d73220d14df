"""Proximal policy optimization with a critic: each token's advantage is what it changed in what was to be expected.

Idea: one score for a whole completion says little about its parts; a second model that learns what reward is still to
come gives each token its own share.
Survey: reinforcement learning, section 4.3.
Paper: arXiv:1707.06347 (PPO), Schulman et al., 2017; advantages arXiv:1506.02438 (GAE); for language models
  arXiv:2203.02155 (InstructGPT), Ouyang et al., 2022.
Algorithm:
  1. Draw `num_generations` completions of each prompt with the weights in training; score them in one call.
  2. A token's reward is the score at the last token, at each token less `beta` times its log-ratio to the reference.
  3. The critic says what is still to come before each token; `lam` mixes its surprises into advantages, undiscounted,
     which are brought to mean 0 and deviation 1 over the batch.
  4. `num_iterations` steps of clipped policy gradient on the same completions; the critic is trained to what came.
Differs: the critic is a second model with a head that starts at 0, new in each round, and its target is the sum of the
  rewards to come, not the advantage plus its own value; its loss is not clipped. lam 0.95 is GAE's. Learning rates 1e-6
  and 1e-5 and beta 1e-3 are those of a self-correcting loop's code (arXiv:2502.19613). One device; completions are
  drawn by the project's own decoder whatever engine the recipe names, and a reward that asks the model asks the last
  checkpoint.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from selfimprove import training
from selfimprove.bounds import bounded
from selfimprove.interfaces import Context, Optimization
from selfimprove.records import Checkpoint, Prompt
from selfimprove.registry import register


@register("ppo", paper="1707.06347")
@dataclass
class Ppo(training.Clipped, Optimization):
    consumes: ClassVar[Any] = Prompt
    beta: float = 1e-3
    """Weight of the log-ratio to the reference in the reward; 0 needs no reference."""
    lam: float = bounded(0.95, 0, 1)
    """How far a surprise is credited to earlier tokens: 0 to the token itself, 1 to all before it."""
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
