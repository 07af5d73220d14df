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
  5. With `fresh`, the solutions of a batch are drawn anew by the weights in training and rewarded, once for each step,
     as in the paper; without it, training passes over a round's rollouts `num_train_epochs` times, and the clipped
     ratio limits later steps, which learn less and less.
Measured on the tiny model (recipe absolute_zero with task=chain_sums, levels 3 to 6, two rounds, every candidate
  accepted): +25.7 points [21.7, 29.7] with `fresh`, +8.2 [5.3, 11.1] without; with seed 1 +23.5 [19.5, 27.5] and +7.3
  [4.5, 10.2]. It takes 2.4 times the completions.
  On the task of the recipe, which the start hardly solves, neither gains: +0.8 [-0.7, 2.3] and +0.7 [-0.6, 1.9].
Differs: the proposals of a round are kept, because what one is worth takes several solutions of its problem; the paper
  draws these anew as well. Its batches hold 64 rollouts of each of six buckets; here they are mixed. Learning rate 1e-6
  and no KL term are the paper's. With `by: [hops]` the formula groups by hops as in arXiv:2601.07055 (HRPO, which does
  not clip).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from selfimprove import training
from selfimprove.costs import Cost, Flow, Given
from selfimprove.interfaces import Context, Optimization
from selfimprove.records import SOLVE, Checkpoint, Prompt, Rollout
from selfimprove.registry import register
from selfimprove.training import Draws, Live, Turn


@register("trr_plus_plus", paper="2505.03335")
@dataclass
class TrrPlusPlus(training.Clipped, Optimization):
    consumes: ClassVar[Any] = Rollout
    by: list[str] = field(default_factory=lambda: ["role", "form"])
    """Names in a prompt's `info` that define its bucket; prompts that lack a name share a bucket."""
    fresh: bool = False
    """Draw the solutions of each step with the weights in training; else train on those that the round began with. A
    reward that compares the completions of a problem, such as a vote, needs num_generations of 2 or more."""

    def cost(self, given: Given) -> Cost:
        draws = training.planned_steps(self, given.flow.records)
        steps = draws if self.max_steps > 0 else draws * self.num_iterations
        if not self.fresh:
            return Cost(steps=steps)
        rows = self.per_device_train_batch_size * self.gradient_accumulation_steps
        rated = given.rate(Flow(rows, rows, rows))
        return Cost(steps=steps) + given.draw(draws * rows, self.max_completion_length) + draws * rated

    def optimize(self, records: Sequence[Any], context: Context) -> Checkpoint:
        asked = [one.prompt for one in records if self.fresh and _is_solution(one)]
        kept = [one for one in records if not (self.fresh and _is_solution(one))]

        def play(live: Live) -> Iterator[Sequence[Turn]]:
            items: list[Turn | Prompt] = [*live.noted(live.turns(kept)), *asked]
            for batch in training.passes(items, live.rows_per_step, context.seed):
                alone, each = [one for one in batch if isinstance(one, Prompt)], self.num_generations
                prompts = [one for one in alone[::each] for _ in range(each)][: len(alone)]
                drawn = live.noted(training.rewarded(live.draw(prompts), prompts, context))
                turns = [*drawn, *(one for one in batch if isinstance(one, Turn))]
                yield [replace(turn, bucket=self._bucket(turn.rollout)) for turn in turns]

        def advantages(draws: Draws) -> Any:
            return training.whiten(training.to_go(draws.rewards), draws.known, draws.buckets)

        return training.reinforce(training.job_of(self, context), len(records), self, play, advantages)

    def _bucket(self, rollout: Rollout) -> str:
        return "/".join(str(rollout.prompt.info.get(name, "")) for name in self.by).strip("/")


def _is_solution(rollout: Rollout) -> bool:
    """Whether it answers a problem in one reply, so that another reply can be drawn and rewarded in its place."""
    return rollout.role == rollout.prompt.info.get("role", SOLVE) == SOLVE and len(rollout.completion) == 1
