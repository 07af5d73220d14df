"""A policy over rows that is trained beside the model, by how far a few rows improve after each step.

Idea: which rows help depends on how far the training is, so the choice itself is learned, as a decision in each step.
Survey: adaptive selection, section 3.3.
Paper: arXiv:2504.07282 (RAISE), Lv et al., 2025.
Algorithm:
  1. Hold back `reference` rows at random, which never train.
  2. Each step takes the next `candidates` rows of a pass. A row is described by its loss, its length, and its loss
     times the finished steps over `horizon`; a linear policy gives it a score.
  3. Divide the candidates into `clusters` by their hidden states (k-means), so that the step is diverse. From each in
     turn take the row with the largest score plus Gumbel noise.
  4. The reward of a step is how far the mean loss of the held-back rows has fallen by the next step. REINFORCE with a
     running mean and scale of the rewards moves the policy.
Differs: the paper's policy is a network trained by PPO with generalized advantages over several whole trainings; this
  one has three weights and learns within one training. All sizes are our choice.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Given
from selfimprove.errors import DataError
from selfimprove.interfaces import ROWS, Context, Sampler, SamplerPool
from selfimprove.measures.passes import onward
from selfimprove.registry import register


@register("raise_selector", paper="2504.07282")
@dataclass
class RaiseSelector(Sampler):
    chooses: ClassVar[str] = ROWS
    reference: int = bounded(16, 1)
    """Rows that are held back."""
    candidates: int = bounded(64, 1)
    """Rows among which a step chooses."""
    clusters: int = bounded(4, 1)
    """Groups of like rows from which a step chooses in turn."""
    horizon: int = bounded(100, 1)
    """Steps that count as a whole training in the description of a row."""
    learning_rate: float = bounded(0.5, 0, 100)
    """Learning rate of the policy."""

    def cost(self, given: Given) -> Cost:
        return Cost(scored=given.steps * (self.reference + 2 * max(self.candidates, given.step_rows)))

    def begin(self, pool: SamplerPool, context: Context) -> None:
        if len(pool.rows) <= self.reference:
            raise DataError(
                f"sampler.raise_selector holds back {self.reference} rows, and there are {len(pool.rows)}; "
                "lower reference"
            )
        order = sorted(range(len(pool.rows)), key=lambda place: (pool.rows[place].id, place))
        pool.random.seed(context.seed)
        held = sorted(pool.random.sample(order, self.reference))
        pool.state.update(held=held, policy=[0.0] * 3, mean=0.0, scale=0.0, seen=0, before=None, moved=[0.0] * 3)

    def next(self, k: int, pool: SamplerPool) -> list[int]:
        import numpy

        assert pool.weights is not None, "a training of rows gives its weights"
        state = pool.state
        held = state["held"]
        now = math.fsum(pool.weights.losses(held)) / len(held)
        if state["before"] is not None:
            self.learn(state, state["before"] - now)
        places = onward(pool, max(k, self.candidates), held)
        described = self._described(places, pool)
        scores = described @ numpy.array(state["policy"])
        noisy = [score - math.log(-math.log(pool.random.random() or 0.5)) for score in scores.tolist()]
        groups = clustered(pool.weights.features(places), min(self.clusters, len(places)))
        chosen = in_turn(noisy, groups, min(k, len(places)))
        chances = numpy.exp(scores - scores.max())
        expected = (chances / chances.sum()) @ described
        state["moved"] = (described[chosen].mean(0) - expected).tolist()
        state["before"] = now
        made = [places[place] for place in chosen]
        return (made * -(-k // len(made)))[:k]

    def learn(self, state: dict[str, Any], reward: float) -> None:
        """Move the policy by the reward of its last choice."""
        state["seen"] += 1
        weight = max(0.1, 1 / state["seen"])
        surprise = reward - state["mean"]
        state["mean"] += weight * surprise
        state["scale"] += weight * (abs(surprise) - state["scale"])
        gain = surprise / state["scale"] if state["scale"] > 0 and state["seen"] > 1 else 0.0
        step = self.learning_rate * max(-2.0, min(2.0, gain))
        state["policy"] = [one + step * move for one, move in zip(state["policy"], state["moved"], strict=True)]

    def _described(self, places: list[int], pool: SamplerPool) -> Any:
        """Loss, length, and loss times progress of each row, standardized: an array (rows, 3)."""
        import numpy

        assert pool.weights is not None
        losses = numpy.array(pool.weights.losses(places), dtype=float)
        lengths = numpy.array([len(pool.rows[place].text) for place in places], dtype=float)
        spread = [column.std() or 1.0 for column in (losses, lengths)]
        losses, lengths = (losses - losses.mean()) / spread[0], (lengths - lengths.mean()) / spread[1]
        return numpy.column_stack([losses, lengths, losses * min(1.0, pool.step / self.horizon)])


def clustered(vectors: Any, k: int, rounds: int = 5) -> list[int]:
    """The cluster of each vector, by k-means from centres that are far apart."""
    import numpy

    centres = [vectors[0]]
    while len(centres) < k:
        nearest = numpy.min([((vectors - centre) ** 2).sum(1) for centre in centres], axis=0)
        centres.append(vectors[int(nearest.argmax())])
    of = numpy.zeros(len(vectors), dtype=int)
    for _ in range(rounds):
        of = numpy.argmin([((vectors - centre) ** 2).sum(1) for centre in centres], axis=0)
        centres = [vectors[of == i].mean(0) if (of == i).any() else centres[i] for i in range(k)]
    return of.tolist()


def in_turn(scores: list[float], groups: list[int], k: int) -> list[int]:
    """k places: the largest score of each group, then the second largest of each, and so on."""
    ranked: dict[int, list[int]] = {}
    for place in sorted(range(len(scores)), key=lambda place: (-scores[place], place)):
        ranked.setdefault(groups[place], []).append(place)
    rank = {place: number for own in ranked.values() for number, place in enumerate(own)}
    return sorted(range(len(scores)), key=lambda place: (rank[place], -scores[place], place))[:k]
