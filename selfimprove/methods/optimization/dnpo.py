"""Preference optimization against a reference with trained noise, which keeps the margin small and training going.

Idea: once a model tells its own samples from better ones, the margin is large, the gradient small, and training stops.
Noise that is trained to make the margin small, while the model is trained to make it large, keeps both changing.
Survey: preference optimization, section 4.3; self-play.
Paper: arXiv:2502.05400 (DNPO), Yang et al., 2025.
Algorithm:
  1. A linear layer maps the reference's last hidden state at each place of the rejected completion to a deviation for
     each token of the vocabulary; deviation times a standard normal draw is added to the reference's logits there.
  2. h = beta * ((log pi - log ref)(chosen) - (log pi - log noisy ref)(rejected)); the loss is -log sigmoid(h).
  3. In one step, on one draw, the policy minimizes the loss with fixed noise, and the noise minimizes minus the loss
     with a fixed policy, plus `alpha` times its mean variance.
  4. The noise is dropped after a round; the policy is a plain model.
Differs: the paper describes its step in two ways, alternating and simultaneous; here it is simultaneous, as in its last
  equation, whose undefined symbol we read as "fixed". Bound, weight and rates are not published; they are our choice,
  like the form of the bound (a sigmoid) and a start at half of it. Without noise (bound 0) this is `dpo`. The paper's
  labels by a judge are `acquisition.opponent.label: reward`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from selfimprove import training
from selfimprove.bounds import bounded
from selfimprove.interfaces import Context, Optimization
from selfimprove.needs import Needs
from selfimprove.records import Checkpoint, Preference
from selfimprove.registry import register


@register("dnpo", paper="2502.05400")
@dataclass
class Dnpo(training.Adapted, training.Referenced, Optimization):
    consumes: ClassVar[Any] = Preference
    beta: float = 0.1
    """Strength of the pull to the reference."""
    bound: float = bounded(1.0, 0, 100)
    """Largest variance of the noise on a logit; 0 disables the noise."""
    alpha: float = bounded(0.1, 0, 1e6)
    """Weight of the mean variance in the loss of the noise."""
    noise_learning_rate: float = 1e-3
    """Learning rate of the noise."""

    def needs(self) -> Needs:
        return super().needs() + Needs(one_process=True)

    def optimize(self, records: Sequence[Any], context: Context) -> Checkpoint:
        noise = Noise(self.bound, self.noise_learning_rate, context.seed)

        def loss(pairs: training.Pairs) -> Any:
            from torch.nn.functional import logsigmoid

            held, variance = noise.reference(pairs.places)
            gains = pairs.chosen - pairs.chosen_reference - pairs.rejected
            if self.bound:
                noise.step(logsigmoid(self.beta * (gains.detach() + held)).mean() + self.alpha * variance)
            return -logsigmoid(self.beta * (gains + held.detach()))

        made = training.pairs(training.job_of(self, context), records, loss, places=True)
        context.log.metric("dnpo/variance_first", noise.variances[0])
        context.log.metric("dnpo/variance_last", noise.variances[-1])
        return made


class Noise:
    """The trained deviations of the noise on the reference's logits."""

    def __init__(self, bound: float, learning_rate: float, seed: int) -> None:
        self.bound, self.learning_rate, self.seed = bound, learning_rate, seed
        self.layer: Any = None
        self.variances = list[float]()
        """The mean variance of each batch."""

    def reference(self, places: training.Places) -> tuple[Any, Any]:
        """The log-probability of each rejected completion under the noisy reference, and the noise's mean variance."""
        import torch

        states, logits = places.states.float(), places.logits.float()
        if self.layer is None:
            self.layer = torch.nn.Linear(states.shape[-1], logits.shape[-1], device=states.device)
            for weight in self.layer.parameters():
                torch.nn.init.zeros_(weight)
            self._optimizer = torch.optim.AdamW(self.layer.parameters(), lr=self.learning_rate, weight_decay=0.0)
            self._source = torch.Generator(states.device).manual_seed(self.seed)
        deviations = self.bound**0.5 * self.layer(states).float().sigmoid()
        draw = torch.randn(logits.shape, generator=self._source, device=logits.device)
        known = (logits + deviations * draw).log_softmax(-1).gather(-1, places.ids[..., None])[..., 0]
        variance = ((deviations**2).mean(-1) * places.mask).sum() / places.mask.sum()
        self.variances.append(variance.item())
        return (known * places.mask).sum(-1), variance

    def step(self, loss: Any) -> None:
        """One optimizer step of the noise."""
        self._optimizer.zero_grad()
        loss.backward()
        self._optimizer.step()
