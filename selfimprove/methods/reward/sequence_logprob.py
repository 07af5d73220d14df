"""The log-probability of a completion under the model itself: the self-reward of sharpening.

Idea: a model recognizes good answers better than it samples them, so training on completions that it finds likely moves
  probability mass to where its own likelihood is high.
Survey: confidence rewards, section 4.3.2.
Paper: arXiv:2412.01951 (The Sharpening Mechanism), Huang et al., 2024: r(y) = log pi_base(y | x).
Algorithm:
  1. The reward is the sum of the log-probabilities of the completion's tokens, including the end token, under the
     weights of round 0 or, with `scorer: current`, under those that drew it.
  2. With `per_token`, divide by the number of tokens.
  3. None for a completion without tokens.
Differs: none known; the defaults are the paper's reward. It needs no reference answer, and cannot teach what the model
  does not already find likely: use it as a ranking within one problem.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from selfimprove.costs import Cost, Given
from selfimprove.errors import RecipeError
from selfimprove.interfaces import Context, Reward
from selfimprove.needs import Needs
from selfimprove.records import Rollout
from selfimprove.registry import register


@register("sequence_logprob", paper="2412.01951")
@dataclass
class SequenceLogprob(Reward):
    scorer: str = "start"
    """Whose probabilities: `start` (the weights of round 0) or `current` (those that drew the completions)."""
    per_token: bool = False
    """Divide by the number of tokens, so that long completions have no disadvantage."""

    def __post_init__(self) -> None:
        if self.scorer not in ("start", "current"):
            raise RecipeError(f"reward.sequence_logprob.scorer is {self.scorer!r}; it must be start or current")

    def needs(self) -> Needs:
        return Needs(statistics=("logprob",))

    def cost(self, given: Given) -> Cost:
        return Cost(scored=given.flow.records)

    def rate(self, groups: Sequence[Sequence[Rollout]], context: Context) -> list[list[float | None]]:
        policy = replace(context.policy, checkpoint=context.start) if self.scorer == "start" else context.policy
        rows = iter(policy.logprobs_of([rollout for group in groups for rollout in group]))
        return [[self._of(next(rows)) for _ in group] for group in groups]

    def _of(self, tokens: list[float]) -> float | None:
        return sum(tokens) / (len(tokens) if self.per_token else 1) if tokens else None
