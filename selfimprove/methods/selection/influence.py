"""Keep the rows of which a training step would lower the loss on selection problems most.

Idea: the first-order effect of a step on a row is the inner product of two gradients, the row's and the target's.
Survey: one-shot scoring by influence, section 3.2.1.
Paper: arXiv:2002.08484 (TracIn), Pruthi et al., 2020: TracInCP.
Algorithm:
  1. The target is right answers to `problems` problems of the selection split.
  2. Take gradients of rows and target under the weights of the round and, if they differ, of round 0; project them to
     `width` numbers.
  3. The influence of a row is the sum over these weights of the inner product of its gradient with the mean gradient of
     the target.
  4. Keep the `share` of the rows with the largest influence, in the given order.
Differs: the paper takes checkpoints of the training that is explained, weighted by their learning rates; the loop's are
  those at hand. Gradients are large where the loss is, so an unlikely row may rank high: less takes cosines instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from selfimprove.costs import Cost
from selfimprove.inference.right_answers import Aimed
from selfimprove.interfaces import Context
from selfimprove.records import Rollout
from selfimprove.registry import register
from selfimprove.training.gradients import Gradients


@register("influence", paper="2002.08484")
@dataclass
class Influence(Aimed):
    def passes(self, rows: int) -> Cost:
        return Cost(scored=6 * rows)

    def serving(self, records: Sequence[Rollout], target: Sequence[Rollout], context: Context) -> list[float]:
        total = 0.0
        for checkpoint in dict.fromkeys((context.policy.weights(), context.start)):
            gradients = Gradients(checkpoint, self.width, context.seed, context.log)
            total = total + gradients.of(records) @ gradients.of(target).mean(0)
        scores: list[float] = list(map(float, total))  # pyright: ignore[reportArgumentType]
        context.log.metric("influence/harmful", sum(score < 0 for score in scores) / len(scores))
        return scores
