"""Self-consistency preference optimization: DPO and likelihood, both weighted by the margin of the vote.

Idea: a pair with a clear vote teaches more than one with a close vote; the weight of the pair is the margin.
Survey: preference optimization, section 4.3.
Paper: arXiv:2411.04109 (ScPO), Prasad et al., 2024.
Algorithm:
  1. h = beta * ((log pi - log ref)(chosen) - (log pi - log ref)(rejected)).
  2. The loss of a pair with weight w is w * (-log sigmoid(h)) + alpha * w * (-log pi(chosen) / tokens of chosen).
  3. Start from the last policy, or with `restart: base` from round 0; the reference likewise.
Differs: the weights come from the selection (`vote_pairs`); with weights of 1 this is iterative reasoning preference
  optimization, arXiv:2404.19733. beta 0.5, alpha 1 and learning rate 5e-6 are the paper's as others report them; we did
  not have its appendix.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from selfimprove import training
from selfimprove.bounds import bounded
from selfimprove.errors import DataError
from selfimprove.interfaces import Context, Optimization
from selfimprove.records import Checkpoint, Preference
from selfimprove.registry import register


@register("scpo", paper="2411.04109")
@dataclass
class Scpo(training.Adapted, training.Referenced, Optimization):
    consumes: ClassVar[Any] = Preference
    beta: float = 0.5
    """Strength of the pull to the reference."""
    alpha: float = 1.0
    """Weight of the likelihood of the chosen completion."""
    learning_rate: float = bounded(5e-6, 0, 100)

    def optimize(self, records: Sequence[Any], context: Context) -> Checkpoint:
        wrong = [pair.weight for pair in records if not 0 <= pair.weight < float("inf")]
        if wrong or not any(pair.weight for pair in records):
            found = wrong[0] if wrong else "zeros only"
            raise DataError(f"scpo needs pairs with weights of 0 or more, not all 0; it was given {found}")

        def loss(pairs: training.Pairs) -> Any:
            from torch.nn.functional import logsigmoid

            gains = pairs.chosen - pairs.chosen_reference - pairs.rejected + pairs.rejected_reference
            likelihood = pairs.chosen / pairs.chosen_tokens
            return -pairs.numbers[:, 0] * (logsigmoid(self.beta * gains) + self.alpha * likelihood)

        return training.pairs(
            training.job_of(self, context), records, loss, numbers=[[pair.weight] for pair in records]
        )
