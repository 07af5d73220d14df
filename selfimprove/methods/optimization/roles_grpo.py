"""GRPO for loops of several roles: each step trains on what the acquisition makes with the weights in training.

Idea: a proposer, a tester or a model that reflects is rewarded for what others make of its text, so no reward can tell
it from the text alone. The acquisition can: it plays all roles and rewards each. If it is run again and again by the
weights in training, policy gradients see fresh samples.
Survey: reinforcement learning, section 4.3; interaction-based generation, section 2.4.3.
Paper: arXiv:2402.03300 (GRPO), Shao et al., 2024, as used by arXiv:2508.05004 (R-Zero), arXiv:2505.24726 (Reflect,
  Retry, Reward) and arXiv:2506.03136 (CURE).
Algorithm:
  1. The round's records are the first draw. For every further draw the recipe's acquisition is run again by the weights
     in training, with other problems and seeds, and the recipe's reward.
  2. The advantage of a completion is its reward minus the mean of the completions with the same prompt, divided by
     their standard deviation if `scale_rewards` is group. Each role has prompts of its own, so it has baselines of its
     own.
  3. A draw is shuffled and cut into steps of `per_device_train_batch_size` times `gradient_accumulation_steps` rows;
     clipped policy gradient against the weights that drew them, plus `beta` times the KL divergence from the reference.
  4. With `train` only the completions in prompts of these roles are learned (`info["role"]`; a plain problem is solve).
Differs: R-Zero trains two models in turn, and its solver on labels that its earlier weights voted for; here one model
  has both roles and votes are fresh, or `parts` gives two. Selections see the first draw only. Equal weight for each
  token of a step, where GRPO weighs completions equally. A reward that asks the model uses the last checkpoint. In the
  null round no new draws are made.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from selfimprove import training
from selfimprove.costs import Cost, Given
from selfimprove.errors import DataError
from selfimprove.interfaces import Context, Optimization
from selfimprove.measures.attempts import standardized
from selfimprove.records import SOLVE, Checkpoint, Rollout, by_prompt
from selfimprove.registry import register
from selfimprove.training import Draws, Live, Turn


@register("roles_grpo", paper="2402.03300")
@dataclass
class RolesGrpo(training.Clipped, Optimization):
    consumes: ClassVar[Any] = Rollout
    scale_rewards: str = "group"
    """Divisor of the advantage: the standard deviation of the `group`, or `none`."""
    beta: float = 0.0
    """Weight of the KL divergence from the reference; 0 needs no reference."""
    train: list[str] = field(default_factory=list)
    """Roles whose completions are learned; empty means all."""

    def __post_init__(self) -> None:
        super().__post_init__()
        training.one_of(self, scale_rewards=("group", "none"))

    def cost(self, given: Given) -> Cost:
        planned = training.planned_steps(self, given.flow.records)
        steps = planned if self.max_steps > 0 else planned * self.num_iterations
        return Cost(steps=steps) + max(0, -(-steps // self.num_iterations) - 1) * given.again

    def optimize(self, records: Sequence[Any], context: Context) -> Checkpoint:
        def play(live: Live) -> Iterator[Sequence[Turn]]:
            source = random.Random(context.seed)
            for number in itertools.count():
                drawn = records
                if number and context.acquire is not None:
                    drawn = context.acquire(training.acting(live, context.policy, number), number)
                turns = live.noted(live.turns(self._weighted(drawn)))
                if not turns and not number:
                    raise DataError("optimization.roles_grpo has no completion with a reward to train on")
                if not turns:
                    context.log.note(f"draw {number + 1} has no completion with a reward, so training ends early")
                    return
                for batch in training.batches(source.sample(turns, len(turns)), live.rows_per_step):
                    yield [replace(turn, reward=turn.rollout.weight, bucket=_role(turn.rollout)) for turn in batch]

        def advantages(draws: Draws) -> Any:
            return training.to_go(draws.rewards)

        job = training.job_of(self, context)
        return training.reinforce(job, len(records), self, play, advantages, beta=self.beta)

    def _weighted(self, drawn: Sequence[Any]) -> list[Rollout]:
        """The rewarded completions of the trained roles; the weight of each is multiplied by its advantage."""
        made = list[Rollout]()
        for group in by_prompt(one for one in drawn if isinstance(one, Rollout) and one.reward is not None):
            if self.train and _role(group[0]) not in self.train:
                continue
            rewards = [one.reward or 0.0 for one in group]
            mean = sum(rewards) / len(rewards)
            gains = standardized(rewards) if self.scale_rewards == "group" else [one - mean for one in rewards]
            made += [replace(one, weight=one.weight * (gain or 0.0)) for one, gain in zip(group, gains, strict=True)]
        return made


def _role(rollout: Rollout) -> str:
    """The role of a completion's prompt."""
    return rollout.prompt.info.get("role", SOLVE)
