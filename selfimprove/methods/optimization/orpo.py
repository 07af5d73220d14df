"""Odds ratio preference optimization: likelihood of the chosen completion and a penalty on the rejected one's odds.

Idea: learn the good completion and unlearn the bad one in a single stage, without a reference.
Survey: preference optimization, section 4.3.
Paper: arXiv:2403.07691 (ORPO), Hong et al., 2024.
Algorithm:
  1. p is the exponential of the mean log-probability of a completion's tokens, its odds are p / (1 - p).
  2. The loss is -log p(chosen) + odds_weight * -log sigmoid(log of the odds of chosen over the odds of rejected).
  3. Start from the last policy, or with `restart: base` from round 0. No second model is loaded.
Differs: the likelihood is that of the chosen completion only, not of its prompt. odds_weight 0.1 is TRL's default; the
  learning rate is our choice.
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


@register("orpo", paper="2403.07691")
@dataclass
class Orpo(training.Adapted, training.Trained, Optimization):
    consumes: ClassVar[Any] = Preference
    odds_weight: float = 0.1
    """Weight of the odds ratio."""
    learning_rate: float = bounded(5e-6, 0, 100)

    def optimize(self, records: Sequence[Any], context: Context) -> Checkpoint:
        def loss(pairs: training.Pairs) -> Any:
            from torch import expm1, log
            from torch.nn.functional import logsigmoid

            chosen, rejected = pairs.chosen / pairs.chosen_tokens, pairs.rejected / pairs.rejected_tokens
            # log(1 - e^x) stays precise for x near 0, that is for a completion with probability near 1
            complement = [log(-expm1(x.clamp(max=-1e-6))) for x in (chosen, rejected)]
            odds = (chosen - complement[0]) - (rejected - complement[1])
            return -chosen - self.odds_weight * logsigmoid(odds)

        return training.pairs(training.job_of(self, context), records, loss)
