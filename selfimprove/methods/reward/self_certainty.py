"""How far from uniform the model's next-token distributions are along a completion: confidence as a reward.

Idea: where the model is sure at every step it is more often right; no reference answer is needed.
Survey: confidence rewards, section 4.3.2.
Paper: arXiv:2505.19590 (Intuitor), Zhao et al., 2025; the measure: arXiv:2502.18581, Kang et al., 2025.
Algorithm:
  1. At each token, KL(uniform || p) = logsumexp(z) - mean(z) - log V for the logits z of V tokens.
  2. The score is the mean over the completion's tokens; None where it has none.
Differs: the paper's code leaves log V out, a constant that no advantage sees. The paper scores with the weights in
  training; here they are those of the round's start, so keep rounds short where an optimizer samples as it trains: a
  scorer that stays behind can be pleased without being right.
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
