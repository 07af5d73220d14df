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
from typing import Any

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Flow, Given
from selfimprove.inference.right_answers import cost, right_answers
from selfimprove.interfaces import Context, Selection
from selfimprove.measures import ranks
from selfimprove.needs import Needs
from selfimprove.records import Record
from selfimprove.registry import register
from selfimprove.training.gradients import Gradients


@register("influence", paper="2002.08484")
@dataclass
class Influence(Selection):
    share: float = bounded(0.1, 0, 1)
    """Share of the rows to keep."""
    problems: int = bounded(64, 1)
    """Selection problems whose right answers are the target."""
    samples: int = bounded(4, 0)
    """Samples of a problem that the task has no solution of."""
    width: int = bounded(4096, 1)
    """Numbers of a projected gradient."""

    def needs(self) -> Needs:
        return Needs(engine=("copies",), one_process=True)

    def cost(self, given: Given) -> Cost:
        rows = given.flow.records + min(self.problems, given.selection)
        return cost(given, self.problems, self.samples) + Cost(scored=6 * rows)

    def gives(self, given: Given) -> Flow:
        came = given.flow
        return Flow(round(self.share * came.records), came.prompts, came.group)

    def select(self, records: Sequence[Any], context: Context) -> Sequence[Record]:
        wanted = round(self.share * len(records))
        target = right_answers(context, self.problems, self.samples) if records else []
        if not target:
            context.log.note("influence: no selection problem has a right answer: rows stay at random")
            return ranks.highest(records, [0.0] * len(records), wanted)
        total = 0.0
        for checkpoint in dict.fromkeys((context.policy.weights(), context.start)):
            gradients = Gradients(checkpoint, self.width, context.seed, context.log)
            total = total + gradients.of(records) @ gradients.of(target).mean(0)
        scores: list[float] = list(map(float, total))  # pyright: ignore[reportArgumentType]
        context.log.metric("influence/harmful", sum(score < 0 for score in scores) / len(scores))
        return ranks.highest(records, scores, wanted)
