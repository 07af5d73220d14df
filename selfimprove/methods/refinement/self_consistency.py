"""Sample several answers and take the most frequent one.

Idea: many ways of reasoning lead to the right answer, while wrong answers differ.
Survey: sampling and voting, section 5.2.
Paper: arXiv:2203.11171 (Self-Consistency), Wang et al., 2022.
Algorithm:
  1. Draw `samples` completions at `temperature`.
  2. Extract the final answers; completions without one do not vote.
  3. Take the most frequent answer; ties go to the larger sum of mean token log-probabilities, then to the first seen.
  4. Return the most likely completion with that answer.
Differs: the paper draws 40; the default here is 16.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Given
from selfimprove.interfaces import Refinement, Sampling, Session
from selfimprove.records import Prompt, Rollout
from selfimprove.registry import register


@register("self_consistency", paper="2203.11171")
@dataclass
class SelfConsistency(Refinement):
    samples: int = bounded(16, 1)
    """Completions per prompt."""
    temperature: float = bounded(0.7, 0, 100)
    """Sampling temperature."""

    def cost(self, given: Given) -> Cost:
        return self.samples * given.attempt

    async def answer(self, prompt: Prompt, session: Session) -> Rollout:
        drawn = await session.attempts(prompt, self.samples, Sampling(temperature=self.temperature))
        return _vote(drawn, [session.answer_of(one) for one in drawn])


def _vote(drawn: Sequence[Rollout], answers: Sequence[str | None]) -> Rollout:
    """The most likely completion with the most frequent answer; the first completion if none has an answer."""
    alike: dict[str, list[Rollout]] = {}
    for rollout, answer in zip(drawn, answers, strict=True):
        if answer is not None:
            alike.setdefault(answer, []).append(rollout)
    if not alike:
        return drawn[0]
    most = max(alike.values(), key=lambda won: (len(won), sum(map(_confidence, won))))
    return max(most, key=_confidence)


def _confidence(rollout: Rollout) -> float:
    """Mean log-probability of a token, in nats."""
    if rollout.logprobs is None:
        return 0.0
    return rollout.logprobs["sum"] / max(1.0, rollout.logprobs["count"])
