"""The share of a problem's completions that give the same answer: a reward without labels that knows degrees.

Idea: minimize the entropy of the model's answers: an answer is worth as much as the other samples believe in it.
Survey: consensus rewards, section 4.3.2.
Paper: arXiv:2504.05812 (EMPO), Zhang et al., 2025.
Algorithm:
  1. Extract the final answer of each completion.
  2. Score each completion the share of all completions that have its answer; 0 where there is no answer.
  3. Where every completion has another answer, so that the entropy is log n, all of the group score 0.
Differs: equal answers after the task's extraction form a cluster; for free text the paper clusters by meaning with a
  model. To leave out problems that the model is too sure or too unsure of, add selection pass_rate_band.
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
    if max(counts.values(), default=0) < 2:  # nobody agrees with anybody
        return [0.0] * len(answers)
    return [counts[answer] / len(answers) if answer is not None else 0.0 for answer in answers]
