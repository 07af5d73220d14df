"""The share of a problem's completions with the same answer: a graded reward without labels.

Idea: minimize the entropy of the model's answers by rewarding each answer with its frequency.
Survey: consensus rewards, section 4.3.2.
Paper: arXiv:2504.05812 (EMPO), Zhang et al., 2025.
Algorithm:
  1. Extract the final answer of each completion.
  2. The reward of a completion is the share of all completions with its answer; 0 without an answer.
  3. If all answers are different, so that the entropy is log n, the whole group gets 0.
Differs: equal answers after the task's extraction form a cluster; for free text the paper clusters by meaning with a
  model. To leave out problems with too much or too little agreement, add the selection pass_rate_band.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from selfimprove.interfaces import Context, Reward
from selfimprove.measures.votes import tally
from selfimprove.records import Rollout
from selfimprove.registry import register


@register("soft_vote", paper="2504.05812")
@dataclass
class SoftVote(Reward):
    def rate(self, groups: Sequence[Sequence[Rollout]], context: Context) -> list[list[float | None]]:
        return [_shares([context.answer_of(rollout.text) for rollout in group]) for group in groups]


def _shares(answers: list[str | None]) -> list[float | None]:
    counts = tally(answers)
    if max(counts.values(), default=0) < 2:  # no two answers agree
        return [0.0] * len(answers)
    return [counts[answer] / len(answers) if answer is not None else 0.0 for answer in answers]
