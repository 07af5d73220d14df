"""Draw several completions of each prompt from the current model.

Idea: the generation half of rejection sampling: many samples per problem, so that a later stage can keep good ones.
Survey: prompt-based generation, section 2.4.1.
Paper: arXiv:2308.01825 (RFT), Yuan et al., 2023.
Algorithm:
  1. For each prompt draw `samples` completions at `temperature`.
  2. Return all of them. The recipe's rewards and selection do the rest.
Differs: the rejection is a separate selection method (`threshold`), so that it works with any reward.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Flow, Given
from selfimprove.interfaces import Acquisition, Context, Sampling
from selfimprove.records import Prompt, Record, Rollout
from selfimprove.registry import register


@register("rejection_sampling", paper="2308.01825")
@dataclass
class RejectionSampling(Acquisition):
    consumes: ClassVar[Any] = Prompt
    produces: ClassVar[Any] = Rollout
    samples: int = bounded(8, 1)
    """Completions per prompt."""
    temperature: float = bounded(1.0, 0, 100)
    """Sampling temperature; 0 is greedy."""
    top_p: float = bounded(1.0, 0, 1)
    """Nucleus: the smallest set of tokens with this much probability."""
    top_k: int = bounded(0, 0)
    """Sample from the k most likely tokens; 0 means all."""
    max_completion_length: int | None = bounded(None, 1)
    """Most tokens per completion; null uses the engine's limit."""

    def cost(self, given: Given) -> Cost:
        return given.draw(given.flow.records * self.samples, self.max_completion_length)

    def gives(self, given: Given) -> Flow:
        came = given.flow
        return Flow(came.records * self.samples, came.prompts, came.group * self.samples)

    def acquire(self, records: Sequence[Any], context: Context) -> Sequence[Record]:
        sampling = Sampling(
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=self.top_k,
            max_completion_length=self.max_completion_length,
        )
        return [rollout for group in context.policy.sample(records, self.samples, sampling) for rollout in group]
