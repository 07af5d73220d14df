"""Direct preference optimization, by TRL, with any of its losses.

Idea: make the chosen completion more likely than the rejected one, relative to a frozen reference.
Survey: preference optimization, section 4.3.
Paper: arXiv:2305.18290 (DPO), Rafailov et al., 2023; round by round as in arXiv:2401.10020 and arXiv:2404.19733.
Algorithm:
  1. h = beta * ((log pi - log ref)(chosen) - (log pi - log ref)(rejected)); the sigmoid loss is -log sigmoid(h).
  2. Start from the last policy, or with `restart: base` from round 0.
  3. The reference is the model that training starts from, or with `reference: base` that of round 0.
Small beta: the sigmoid loss sees only the margin of log-ratios, and its slope ends (1 % is left) at 46 nats of margin
  at beta 0.1 and at 0.9 nats at beta 5. Until then it pays to make the rejected text less likely, and most steps that
  do so lower what both texts share. So the chosen one becomes less likely too, unless a likelihood term (sft) holds it.
Differs: loss_type [sigmoid, sft] with weights [1, 1] is iterative reasoning preference optimization; TRL averages its
  likelihood term over the tokens of the batch, the paper over each sequence. Self-play fine-tuning (SPIN,
  arXiv:2401.01335) is this method on pairs of a reference solution and the model's own, with sigmoid or hinge. The
  method ignores the weights of pairs; see `scpo`. discopop alone is our own form of TRL's formula, whose exponential
  overflows if h is below -88 and then makes the loss infinite times 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from selfimprove import training
from selfimprove.interfaces import Context, Optimization
from selfimprove.records import Checkpoint, Preference
from selfimprove.registry import register

DISCOPOP_TAU = 0.05
"""How fast DiscoPOP goes from one loss to the other; the paper's value and TRL's default."""


@register("dpo", paper="2305.18290")
@dataclass
class Dpo(training.Adapted, training.Referenced, Optimization):
    consumes: ClassVar[Any] = Preference
    beta: float = 0.1
    """Strength of the pull to the reference."""
    loss_type: list[str] = field(default_factory=lambda: ["sigmoid"])
    """Names of TRL's losses, which are summed: sigmoid, hinge, ipo, sft, ..."""
    loss_weights: list[float] | None = None
    """One weight per loss; null means 1 for each."""

    def optimize(self, records: Sequence[Any], context: Context) -> Checkpoint:
        if self.loss_type == ["discopop"] and not self.loss_weights:
            return training.pairs(training.job_of(self, context), records, self._discopop)
        return training.dpo(
            training.job_of(self, context),
            records,
            loss_type=self.loss_type,
            loss_weights=self.loss_weights,
            beta=self.beta,
        )

    def _discopop(self, pairs: training.Pairs) -> Any:
        """DiscoPOP (arXiv:2406.08414), equation 5: a blend of the logistic and the exponential loss, by the margin."""
        from torch.nn.functional import logsigmoid

        h = self.beta * (pairs.chosen - pairs.chosen_reference - pairs.rejected + pairs.rejected_reference)
        blend = h / DISCOPOP_TAU
        return -logsigmoid(h) * blend.neg().sigmoid() + (logsigmoid(blend) - h).exp()
