"""Draw from what the last layer knows better than an early one.

Idea: early layers already say what is plausible; facts and reasoning come in later. The difference of the two is what
  the model has worked out.
Survey: decoding, section 5.2.1.
Paper: arXiv:2309.03883 (DoLa), Chuang et al., 2023.
Algorithm:
  1. Send the hidden states of the early `layers` through the final norm and the output matrix.
  2. Take the one whose distribution q_M has the largest Jensen-Shannon divergence from the last layer's q_N.
  3. Leave out the tokens less likely than `alpha` times the last layer's likeliest.
  4. Of the rest take log q_N - log q_M as logits; draw at `temperature`.
Differs: the paper also penalizes repeated tokens by 1.2; its code leaves out the final norm, and counts the embeddings
  as a layer where they are not the output matrix. It advises the `high` layers for short answers and the `low` ones for
  long reasoning.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from selfimprove.bounds import bounded
from selfimprove.errors import RecipeError
from selfimprove.interfaces import Refinement, Sampling, Session, Shape
from selfimprove.needs import Needs
from selfimprove.records import Prompt, Rollout
from selfimprove.registry import register


@dataclass(frozen=True)
class Matured(Shape):
    """The last layer's log-probabilities minus those of the early layer that differs most from it."""

    early: str | tuple[int, ...]
    alpha: float

    @property
    def layers(self) -> str | tuple[int, ...]:
        return self.early

    def apply(self, logprobs: Mapping[str, Any]) -> Any:
        import torch

        last = logprobs[""]
        early = torch.stack([row for name, row in logprobs.items() if name.startswith("layer ")])
        premature = early.gather(0, divergence(last, early).argmax(0)[None, :, None].expand(1, *last.shape))[0]
        lowest = last.amax(-1, keepdim=True) + (math.log(self.alpha) if self.alpha else -math.inf)
        return (last - premature).masked_fill((last < lowest) | (last == -math.inf), -math.inf)


def divergence(last: Any, early: Any) -> Any:
    """The Jensen-Shannon divergence of each early layer from the last one in nats, (layers, rows).

    Args:
        last: log-probabilities, (rows, vocabulary).
        early: the same of each layer, (layers, rows, vocabulary).
    """
    import torch

    both = torch.logaddexp(last.expand_as(early), early) - math.log(2)
    parts = [(one.exp() * (one - both)).nan_to_num(0.0).sum(-1) for one in (last.expand_as(early), early)]
    return (parts[0] + parts[1]) / 2


@register("dola", paper="2309.03883")
@dataclass
class Dola(Refinement):
    layers: str = "high"
    """Early layers to choose from: `low`, `high`, or numbers from 1, such as `2,4`."""
    alpha: float = bounded(0.1, 0, 1)
    """Lowest probability of a token, as a share of the last layer's likeliest one's."""
    temperature: float = bounded(0.0, 0, 100)
    """Sampling temperature; 0 is greedy."""

    def __post_init__(self) -> None:
        said = [one.strip() for one in self.layers.split(",")]
        if self.layers not in ("low", "high") and not all(one.isdecimal() and int(one) for one in said):
            raise RecipeError(f"refinement.dola.layers takes low, high or numbers from 1, not {self.layers!r}")
        self._early = self.layers if self.layers in ("low", "high") else tuple(sorted({int(one) for one in said}))

    def needs(self) -> Needs:
        return Needs(engine=("shape",))

    async def answer(self, prompt: Prompt, session: Session) -> Rollout:
        shape = Matured(self._early, self.alpha)
        return (await session.attempts(prompt, 1, Sampling(temperature=self.temperature, shape=shape)))[0]
