"""The log-probability of a completion under the model itself: the self-reward of sharpening.

Idea: a model recognises good answers better than it draws them, so training on what it finds likely moves its mass
  from sampling to where its own likelihood is high.
Survey: confidence rewards, section 4.3.2.
Paper: arXiv:2412.01951 (The Sharpening Mechanism), Huang et al., 2024: r(y) = log pi_base(y | x).
Algorithm:
  1. Score each completion by the sum of the log-probabilities of its tokens, its end token included, under the weights
     of round 0 or, with `scorer: current`, under those that drew it.
  2. With `per_token`, divide by the number of tokens.
  3. None where a completion has no token.
Differs: none known; the paper's reward is the defaults. It needs no reference answer, and cannot teach what the model
  does not find likely already: read its scores as a ranking within one problem.
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
    """Divide by the number of tokens, so that long completions are not at a disadvantage."""

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
