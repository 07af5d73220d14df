"""Keep the rows whose gradients point where those of right answers to selection problems point.

Idea: train on what, by its gradient, lowers the loss on the target most.
Survey: one-shot scoring by gradients, section 3.2.1.
Paper: arXiv:2402.04333 (LESS), Xia et al., 2024.
Algorithm:
  1. The target is right answers to `problems` problems of the selection split.
  2. Train the weights of the round on random rows for `warmup_steps` steps, in memory; after each of `checkpoints`
     equal parts take the gradient of each row as the direction of an Adam step by the moments so far, and of each
     target row as it is. Project both to `width` numbers.
  3. The score of a row is the sum over checkpoints of its mean cosine with the target; with `by_level` the largest
     mean over the target's levels.
  4. Keep the `share` of the rows with the highest scores, in the given order.
Differs: the paper trains an adapter for four epochs on 5 % of the data, and projects its gradients by a dense matrix of
  signs to 8,192 numbers. Here all weights count, of large models the last layers (`training/gradients.py`), the
  projection is a count sketch, and checkpoints weigh the same, because the rate is constant.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from selfimprove.bounds import bounded
from selfimprove.costs import Cost
from selfimprove.inference.right_answers import Aimed
from selfimprove.interfaces import Context
from selfimprove.measures import ranks
from selfimprove.records import Rollout
from selfimprove.registry import register
from selfimprove.training.gradients import Gradients


@register("less", paper="2402.04333")
@dataclass
class Less(Aimed):
    share: float = bounded(0.05, 0, 1)
    """Share of the rows to keep."""
    checkpoints: int = bounded(2, 1)
    """Places of the warm-up at which gradients are taken."""
    warmup_steps: int = bounded(16, 1)
    """Optimizer steps of the warm-up."""
    warmup_batch_size: int = bounded(32, 1)
    """Rows of a step of the warm-up."""
    learning_rate: float = bounded(2e-5, 0, 100)
    """Learning rate of the warm-up."""
    by_level: bool = False
    """Let each level of the target's problems count on its own."""

    def passes(self, rows: int) -> Cost:
        return Cost(scored=3 * self.checkpoints * rows, steps=self.warmup_steps + self.checkpoints)

    def serving(self, records: Sequence[Rollout], target: Sequence[Rollout], context: Context) -> list[float]:
        import numpy as np

        order = ranks.by_id(records)
        rows = [records[place] for place in order]
        levels = [str(one.prompt.info.get("level")) if self.by_level else "" for one in target]
        gradients = Gradients(context.policy.weights(), self.width, context.seed, context.log)
        total = np.zeros((len(rows), len(set(levels))))
        for _ in range(self.checkpoints):
            steps = -(-self.warmup_steps // self.checkpoints)
            gradients.warm(rows, steps, self.learning_rate, self.warmup_batch_size)
            near = _unit(gradients.of(rows, adam=True)) @ _unit(gradients.of(target)).T
            for place, level in enumerate(sorted(set(levels))):
                total[:, place] += near[:, [one == level for one in levels]].mean(1)
        scores = dict(zip(order, (total.max(1) / self.checkpoints).tolist(), strict=True))
        context.log.metric("less/mean", float(np.mean(list(scores.values()))))
        return [scores[place] for place in range(len(records))]


def _unit(rows: Any) -> Any:
    import numpy as np

    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
