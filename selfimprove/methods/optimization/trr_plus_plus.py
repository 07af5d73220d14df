"""Policy gradient on rewarded rollouts of several tasks and roles, with advantages normalized within each kind.

Idea: proposals and solutions, and problems of different kinds, have rewards of different levels. One baseline for all
would make one role look good and another bad, whatever they do.
Survey: reinforcement learning, section 4.3; interaction-based generation, section 2.4.3.
Paper: arXiv:2505.03335 (Absolute Zero: TRR++), Zhao et al., 2025.
Algorithm:
  1. Train on all rollouts that the acquisition drew and rewarded in this round, right and wrong ones.
  2. A rollout's bucket is the values in its prompt's `info` under the names in `by`: its role and the form of the
     problem.
  3. A token's advantage is its completion's reward, normalized to mean 0 and standard deviation 1 over all tokens of
     its bucket in a batch.
  4. Clipped policy gradient against the weights that drew the rollouts, with equal weight for each token; no KL term.
Differs: the paper draws new rollouts for each step; here training passes over a round's rollouts `num_train_epochs`
  times, and the clipped ratio limits later steps. Its batches hold 64 rollouts of each of six buckets; here they are
  mixed in the given order. Learning rate 1e-6 and no KL term are the paper's. With `by: [hops]` the formula groups by
  hops as in arXiv:2601.07055 (HRPO, which does not clip).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from selfimprove import training
from selfimprove.costs import Cost, Given
from selfimprove.interfaces import Context, Optimization
from selfimprove.records import Checkpoint, Rollout
from selfimprove.registry import register
from selfimprove.training import Draws, Live, Turn


@register("trr_plus_plus", paper="2505.03335")
@dataclass
class TrrPlusPlus(training.Clipped, Optimization):
    consumes: ClassVar[Any] = Rollout
    by: list[str] = field(default_factory=lambda: ["role", "form"])
    """Names in a prompt's `info` that define its bucket; prompts that lack a name share a bucket."""

    def cost(self, given: Given) -> Cost:
        steps = training.planned_steps(self, given.flow.records)
        return Cost(steps=steps if self.max_steps > 0 else steps * self.num_iterations)

    def optimize(self, records: Sequence[Any], context: Context) -> Checkpoint:
        def play(live: Live) -> Iterator[Sequence[Turn]]:
            turns = [replace(turn, bucket=self._bucket(turn.rollout)) for turn in live.turns(records)]
            yield from training.passes(live.noted(turns), live.rows_per_step, context.seed)

        def advantages(draws: Draws) -> Any:
            return training.whiten(training.to_go(draws.rewards), draws.known, draws.buckets)

        return training.reinforce(training.job_of(self, context), len(records), self, play, advantages)

    def _bucket(self, rollout: Rollout) -> str:
        return "/".join(str(rollout.prompt.info.get(name, "")) for name in self.by).strip("/")
