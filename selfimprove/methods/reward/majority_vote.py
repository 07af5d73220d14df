"""Agreement with the majority of the model's own answers: a reward without labels.

Idea: treat the answer that most samples of a problem give as right.
Survey: consensus rewards, section 4.3.2.
Paper: arXiv:2210.11610 (LMSI), Huang et al., 2022; as a reward also TTRL, arXiv:2504.16084.
Algorithm:
  1. Extract the final answer of each completion; completions without one do not vote.
  2. The majority is the most frequent answer; its share counts all completions, also those without an answer.
  3. The reward is 1 for completions with the majority answer, else 0; None for a whole group if the first two answers
     tie or the majority's share is below `min_agreement`.
Differs: LMSI breaks ties at random; here a tie gives no label.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from selfimprove.bounds import bounded
from selfimprove.interfaces import Context, Reward
from selfimprove.measures.votes import plurality
from selfimprove.records import Rollout
from selfimprove.registry import register


@register("majority_vote", paper="2210.11610")
@dataclass
class MajorityVote(Reward):
    min_agreement: float = bounded(0.0, 0, 1)
    """Share of a prompt's completions that must agree; below it the prompt is left out."""

    def rate(self, groups: Sequence[Sequence[Rollout]], context: Context) -> list[list[float | None]]:
        return [self._vote([context.answer_of(rollout.text) for rollout in group]) for group in groups]

    def _vote(self, answers: list[str | None]) -> list[float | None]:
        label = plurality(answers, self.min_agreement)
        return [None if label is None else float(answer == label) for answer in answers]
