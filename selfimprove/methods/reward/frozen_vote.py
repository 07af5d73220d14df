"""Agreement with the majority of the start model's answers: labels that cannot drift during training.

Idea: a model that votes on its own labels learns to agree with itself; if frozen weights vote, agreement alone gains
  nothing.
Survey: consensus rewards, section 4.3.2; collapse, section 7.3.
Paper: arXiv:2505.21444 (Can Large Reasoning Models Self-Train?), Shafayat et al., 2025: labels of the fixed model.
Algorithm:
  1. Draw `votes` answers to each problem from the weights of round 0.
  2. The label is the most frequent one; its share counts all votes, also those without an answer.
  3. The reward is 1 for completions with the label, else 0; None for a whole group if the first two answers tie or the
     label's share is below `min_agreement`.
Differs: the paper computes the labels once, before training; here each call draws `votes` completions per problem
  again, with an optimizer that samples during training in every step. The default of votes is our choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Given
from selfimprove.interfaces import Context, Reward, Sampling
from selfimprove.measures.votes import plurality
from selfimprove.records import Rollout
from selfimprove.registry import register


@register("frozen_vote", paper="2505.21444")
@dataclass
class FrozenVote(Reward):
    votes: int = bounded(16, 1)
    """Answers of the start model to each problem."""
    temperature: float = bounded(1.0, 0, 100)
    """Sampling temperature of the votes."""
    min_agreement: float = bounded(0.0, 0, 1)
    """Smallest share of the votes for a label; below it the problem is left out."""

    def cost(self, given: Given) -> Cost:
        return given.draw(given.flow.prompts * self.votes)

    def rate(self, groups: Sequence[Sequence[Rollout]], context: Context) -> list[list[float | None]]:
        start = replace(context.policy, checkpoint=context.start)
        prompts = [group[0].prompt for group in groups if group]
        drawn = iter(start.sample(prompts, self.votes, Sampling(temperature=self.temperature)))
        scores: list[list[float | None]] = []
        for group in groups:
            votes = [context.answer_of(vote.text) for vote in next(drawn)] if group else []
            label = plurality(votes, self.min_agreement)
            answers = [context.answer_of(rollout.text) for rollout in group]
            scores.append([None if label is None else float(answer == label) for answer in answers])
        return scores
