"""Simple preference optimization: the reward is the mean log-probability per token, without a reference.

Idea: rank by the quantity that guides decoding, the likelihood per token, so that length gives no advantage; require a
margin.
Survey: preference optimization, section 4.3.
Paper: arXiv:2405.14734 (SimPO), Meng et al., 2024.
Algorithm:
  1. m is the mean log-probability of a chosen token minus that of a rejected token.
  2. The loss is -log sigmoid(beta * m - gamma).
  3. Start from the last policy, or with `restart: base` from round 0. No second model is loaded.
Differs: none in the loss. Published ranges: beta 2 to 2.5 (10 in later runs), gamma 0.25 to 0.5 times beta, learning
  rate 3e-7 to 1e-6.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from selfimprove import training
from selfimprove.bounds import bounded
from selfimprove.interfaces import Context, Optimization
from selfimprove.records import Checkpoint, Preference
from selfimprove.registry import register


@register("simpo", paper="2405.14734")
@dataclass
class Simpo(training.Adapted, training.Trained, Optimization):
    consumes: ClassVar[Any] = Preference
    beta: float = 2.0
    """Scale of the reward."""
    gamma: float = 1.0
    """Target margin between chosen and rejected completion."""
    learning_rate: float = bounded(5e-7, 0, 100)

    def optimize(self, records: Sequence[Any], context: Context) -> Checkpoint:
        def loss(pairs: training.Pairs) -> Any:
            from torch.nn.functional import logsigmoid

            lead = pairs.chosen / pairs.chosen_tokens - pairs.rejected / pairs.rejected_tokens
            return -logsigmoid(self.beta * lead - self.gamma)

        return training.pairs(training.job_of(self, context), records, loss)
