"""How far the model's next-token distributions along a completion are from uniform: confidence as a reward.

Idea: a model that is certain at every token is more often right; no reference answer is needed.
Survey: confidence rewards, section 4.3.2.
Paper: arXiv:2505.19590 (Intuitor), Zhao et al., 2025; the measure: arXiv:2502.18581, Kang et al., 2025.
Algorithm:
  1. At each token, KL(uniform || p) = logsumexp(z) - mean(z) - log V for the logits z of V tokens.
  2. The reward is the mean over the completion's tokens; None without tokens.
Differs: the paper's code leaves out log V, a constant that cancels in advantages. The paper uses the weights in
  training; here they are those of the round's start. So keep rounds short if the optimizer samples during training: a
  fixed measure can be exploited without becoming more accurate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from selfimprove.costs import Cost, Given
from selfimprove.interfaces import Context, Reward
from selfimprove.needs import Needs
from selfimprove.records import Rollout
from selfimprove.registry import register


@register("self_certainty", paper="2505.19590")
@dataclass
class SelfCertainty(Reward):
    def needs(self) -> Needs:
        return Needs(statistics=("self_certainty",))

    def cost(self, given: Given) -> Cost:
        return Cost(scored=given.flow.records)

    def rate(self, groups: Sequence[Sequence[Rollout]], context: Context) -> list[list[float | None]]:
        rows = iter(context.policy.logprobs_of([rollout for group in groups for rollout in group], "self_certainty"))
        return [[_mean(next(rows)) for _ in group] for group in groups]


def _mean(numbers: list[float]) -> float | None:
    return sum(numbers) / len(numbers) if numbers else None
