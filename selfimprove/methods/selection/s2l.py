"""Keep rows from all kinds of learning: few of those whose loss falls alike, more of what is rare.

Idea: rows whose loss falls in the same way during training have similar gradients, so some of each kind are enough.
Survey: one-shot scoring by training dynamics, section 3.2.1.
Paper: arXiv:2403.07384 (S2L), Yang et al., 2024.
Algorithm:
  1. Train a copy of the proxy on all rows; note the mean loss of each row at `checkpoints` equally spaced steps. A row
     without a loss counts 0.
  2. k-means of these trajectories into `clusters`, by default the root of the number of rows.
  3. From the smallest cluster to the largest, take an equal part of what is still wanted, or all of a smaller cluster,
     at random; clusters of one or two rows only fill up the rest.
  4. Return `share` of the rows, in the given order.
Differs: the paper does this for each source of the data in turn, with 100 clusters. A trajectory is made by copies
  trained from the start to each checkpoint, at a constant rate, because a copy may be needed again after a stop.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Flow, Given
from selfimprove.interfaces import Context, Selection
from selfimprove.measures import ranks, spread
from selfimprove.needs import Needs
from selfimprove.records import Checkpoint, Record
from selfimprove.registry import register
from selfimprove.training import Schedule


@register("s2l", paper="2403.07384")
@dataclass
class S2l(Selection):
    share: float = bounded(0.1, 0, 1)
    """Share of the rows to keep."""
    proxy: str = "start"
    """The weights that are trained: `start`, those of round 0, or the folder of a smaller model."""
    checkpoints: int = bounded(4, 1)
    """Losses of each row: so many copies are trained, the last for `max_steps` steps."""
    max_steps: int = bounded(32, 1)
    """Optimizer steps of the last copy."""
    per_device_train_batch_size: int = bounded(32, 1)
    """Rows of a step."""
    learning_rate: float = bounded(2e-5, 0, 100)
    """Learning rate of the copies."""
    clusters: int | None = bounded(None, 1)
    """Clusters of trajectories; null takes the root of the number of rows."""

    def needs(self) -> Needs:
        return Needs(engine=("copies",), statistics=("logprob",), one_process=True)

    def cost(self, given: Given) -> Cost:
        steps = sum(self._steps(number) for number in range(1, self.checkpoints + 1))
        return Cost(scored=self.checkpoints * given.flow.records, copies=self.checkpoints, steps=steps)

    def gives(self, given: Given) -> Flow:
        came = given.flow
        return Flow(round(self.share * came.records), came.prompts, came.group)

    def select(self, records: Sequence[Any], context: Context) -> Sequence[Record]:
        if not records:
            return []
        order = ranks.by_id(records)
        rows = [records[place] for place in order]
        losses = self._trajectories(rows, context)
        clusters = self.clusters or max(1, round(math.sqrt(len(rows))))
        own, centers = spread.k_means(losses, clusters, context.seed)
        chosen = balanced(own, round(self.share * len(rows)), context.seed)
        context.log.metric("s2l/clusters", len(centers))
        context.log.metric("s2l/loss_before", float(losses[:, 0].mean()))
        context.log.metric("s2l/loss_after", float(losses[:, -1].mean()))
        return ranks.kept(records, [order[place] for place in chosen])

    def _steps(self, number: int) -> int:
        return max(1, round(self.max_steps * number / self.checkpoints))

    def _trajectories(self, rows: Sequence[Any], context: Context) -> Any:
        """The mean loss of each row at each checkpoint (rows, checkpoints) in float64."""
        import numpy as np

        weights = context.start if self.proxy == "start" else Checkpoint(path=self.proxy)
        proxy, made = replace(context.policy, checkpoint=weights), []
        for number in range(1, self.checkpoints + 1):
            schedule = Schedule(
                learning_rate=self.learning_rate,
                max_steps=self._steps(number),
                per_device_train_batch_size=min(len(rows), self.per_device_train_batch_size),
                lr_scheduler_type="constant",
                seed=context.seed,
            )
            with proxy.adapted(rows, schedule) as copy:
                made.append([-sum(one) / len(one) if one else 0.0 for one in copy.logprobs_of(rows)])
        return np.nan_to_num(np.array(made, dtype=np.float64).T)


def balanced(own: Any, wanted: int, seed: int) -> list[int]:
    """The places of `wanted` rows, an equal number of each cluster as far as it has them.

    Args:
        own: the cluster of each row (n,); those of at most two rows only fill up the rest.
    """
    import numpy as np

    shuffled = np.random.default_rng(seed).permutation(len(own))
    clusters: dict[int, list[int]] = {}
    for place in shuffled:
        clusters.setdefault(int(own[place]), []).append(int(place))
    sizes = sorted(clusters.values(), key=lambda one: (len(one), min(one)))
    large, chosen = [one for one in sizes if len(one) > 2], list[int]()
    for number, cluster in enumerate(large):
        chosen += cluster[: round((wanted - len(chosen)) / (len(large) - number))]
    rest = [place for one in sizes if len(one) <= 2 for place in one]
    return (
        [*chosen, *rest[: wanted - len(chosen)]] if len(chosen) + len(rest) >= wanted else _filled(chosen, own, wanted)
    )


def _filled(chosen: list[int], own: Any, wanted: int) -> list[int]:
    """The chosen places and further ones in order, where rounding left the large clusters short."""
    taken = set(chosen)
    return [*chosen, *(place for place in range(len(own)) if place not in taken)][:wanted]
