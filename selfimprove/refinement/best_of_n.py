"""Sample several answers and take the one that the model itself scores highest.

Idea: spend inference on choosing instead of on training; no reference answer is used.
Survey: sampling with a scorer, section 5.2.
Paper: arXiv:2110.14168 (Cobbe et al., 2021) for best-of-n; log-probability as the score: arXiv:2412.01951.
Algorithm:
  1. Draw `samples` completions at `temperature`.
  2. Score each by its log-probability, per token or as a whole.
  3. Return the highest, the first where scores are equal.
Differs: the papers' verifier is a trained model; a judge or a reward model as scorer comes with those methods.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from selfimprove.errors import EngineError
from selfimprove.interfaces import Policy, Refinement, Sampling
from selfimprove.records import Prompt, Rollout
from selfimprove.registry import register


@register("best_of_n", paper="2412.01951")
@dataclass
class BestOfN(Refinement):
    samples: int = 16
    """Completions per prompt."""
    temperature: float = 0.7
    """Sampling temperature."""
    per_token: bool = True
    """Divide the log-probability by the number of tokens."""

    def answer(self, prompts: Sequence[Prompt], state: dict[str, Any], policy: Policy) -> list[Rollout]:
        groups = policy.sample(prompts, self.samples, Sampling(temperature=self.temperature))
        return [max(group, key=self._score) for group in groups]

    def _score(self, rollout: Rollout) -> float:
        if rollout.logprobs is None:
            raise EngineError("refinement best_of_n needs log-probabilities, and this engine gives none")
        return rollout.logprobs["sum"] / (max(1.0, rollout.logprobs["count"]) if self.per_token else 1.0)
