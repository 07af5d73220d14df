"""Policy gradient on scored rollouts of several tasks and roles, each compared with its own kind only.

Idea: proposals and solutions, and problems of different kinds, have rewards of different levels; one baseline for all
would make one role look good and another bad whatever they do.
Survey: reinforcement learning, section 4.3; interaction-based generation, section 2.4.3.
Paper: arXiv:2505.03335 (Absolute Zero: TRR++), Zhao et al., 2025.
Algorithm:
  1. The rollouts that the acquisition has drawn and scored in this round are trained on, right and wrong ones.
  2. A rollout's bucket is what its prompt notes under each name of `by`: the role it plays and the form of the problem.
  3. A token's advantage is its completion's score with mean 0 and deviation 1 over all tokens of its bucket in a batch.
  4. Clipped policy gradient against the weights that drew the rollouts, each token weighing the same; no divergence.
Differs: the paper draws anew for each step, here the rollouts of a round are passed over `num_train_epochs` times and
  the clipped ratio keeps the later steps near. Its batches hold 64 rollouts of each of six buckets; here they are mixed
  as they come. Learning rate 1e-6 and no divergence are the paper's. With `by: [hops]` the same formula is the grouping
  by hops of arXiv:2601.07055 (HRPO, without its lack of a clip).
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
    """Notes of a prompt that make up its bucket; a prompt without one of them is in the bucket of those without it."""

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
