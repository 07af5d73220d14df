"""Sample several answers and take the most frequent one.

Idea: many ways of reasoning lead to the right answer, wrong ones scatter.
Survey: sampling and voting, section 5.2.
Paper: arXiv:2203.11171 (Self-Consistency), Wang et al., 2022.
Algorithm:
  1. Draw `samples` completions at `temperature`.
  2. Extract the final answers; completions without one cannot win.
  3. Take the most frequent answer; ties go to the larger sum of mean token log-probabilities, then to the first seen.
  4. Return the likeliest completion with that answer.
Differs: the paper draws 40; the default here is 16.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from selfimprove.interfaces import Policy, Refinement, Sampling
from selfimprove.records import Prompt, Rollout
from selfimprove.registry import register


@register("self_consistency", paper="2203.11171")
@dataclass
class SelfConsistency(Refinement):
    samples: int = 16
    """Completions per prompt."""
    temperature: float = 0.7
    """Sampling temperature."""

    def answer(self, prompts: Sequence[Prompt], state: dict[str, Any], policy: Policy) -> list[Rollout]:
        groups = policy.sample(prompts, self.samples, Sampling(temperature=self.temperature))
        return [self._vote(group, policy) for group in groups]

    def _vote(self, group: Sequence[Rollout], policy: Policy) -> Rollout:
        answers: dict[str, list[Rollout]] = {}
        for rollout in group:
            answer = policy.answer_of(rollout.text)
            if answer is not None:
                answers.setdefault(answer, []).append(rollout)
        if not answers:
            return group[0]
        most = max(answers.values(), key=lambda won: (len(won), sum(map(_confidence, won))))
        return max(most, key=_confidence)


def _confidence(rollout: Rollout) -> float:
    """Mean log-probability of a token, in nats."""
    if rollout.logprobs is None:
        return 0.0
    return rollout.logprobs["sum"] / max(1.0, rollout.logprobs["count"])
