"""Test-time learning from majority answers, with votes that branch where the model is unsure.

Idea: completions of one problem are mostly alike. Branching them only at the places of high entropy makes as many
  different votes of fewer tokens; and what was said surely may be learned more than what was said at random.
Survey: test-time training, section 5.5.
Paper: arXiv:2508.11356 (ETTRL), Liu et al., 2025; on arXiv:2504.16084 (TTRL).
Algorithm:
  1. For each problem grow `trees` completions, `step_tokens` tokens at a time. In each take the `forks` parts with the
     highest mean entropy, and draw `branches` further completions from where each of them begins: the entropy-fork tree
     of the paper, with trees * (1 + forks * branches) votes.
  2. The majority answer is the label, as in ttrl: none if its share is below `least`, tied or 1.
  3. A completion with the label gets the reward 1, any other 0; standardized within the problem they are advantages.
     Multiply each by 1 + (mean - own) / mean, where `own` is the completion's mean entropy and `mean` that of all of
     the problem's: the paper's reshaping, so that sure completions count more.
  4. Train a copy on the first `trained` completions by clipped policy gradient, and repeat `rounds` times.
Differs: the paper was read in its abstract and in summaries of its method by others, which agree on steps 1 and 3; it
  branches at single tokens, here at the beginning of a part, because a session draws text; `step_tokens: 1` is the
  paper's. Its other remedy, clipped advantages, is left out. As in ttrl, a wrong majority makes the copy surely wrong.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Given
from selfimprove.inference.ballots import mean
from selfimprove.inference.forks import forked, grown, unsure
from selfimprove.inference.majority import advantages, attempted, label_of, taught
from selfimprove.interfaces import Policy, Refinement, Session
from selfimprove.needs import Needs
from selfimprove.records import Prompt, Rollout, changed
from selfimprove.registry import register
from selfimprove.training import PolicyGradient


@register("ettrl", paper="2508.11356")
@dataclass
class Ettrl(Refinement):
    joint = True
    trees: int = bounded(8, 1)
    """Completions of each problem that are grown from its beginning."""
    forks: int = bounded(3, 0)
    """Places of each where it branches; with 0 all votes are separate, as in ttrl."""
    branches: int = bounded(2, 1)
    """Further completions from each of them."""
    step_tokens: int = bounded(8, 1)
    """Tokens of a part; a place to branch is where a part begins."""
    trained: int = bounded(32, 1)
    """The first completions of a problem, which may be trained on."""
    rounds: int = bounded(1, 1, 3)
    """Times that the copy votes and learns."""
    least: float = bounded(0.2, 0, 1)
    """Smallest share of votes of an answer that counts as a label."""
    temperature: float = bounded(0.6, above=0, high=100)
    """Sampling temperature of the votes; answers are plain attempts."""
    learning_rate: float = bounded(1e-5, 0, 100)
    """Learning rate of the copy."""
    max_steps: int = bounded(30, 1)
    """Optimizer steps in each round."""
    per_device_train_batch_size: int = bounded(16, 1)
    """Rows per optimizer step."""

    def needs(self) -> Needs:
        return Needs(engine=("copies",), statistics=("entropy",))

    def together_cost(self, given: Given) -> Cost:
        stem = Cost(completions=math.ceil(given.length / self.step_tokens), tokens=given.draw().tokens)
        tree = stem + given.draw(self.forks * self.branches) + Cost(scored=1 + self.forks * self.branches)
        return self.rounds * (given.flow.records * self.trees * tree + Cost(copies=1, steps=self.max_steps))

    def together(self, prompts: Sequence[Prompt], session: Session) -> AbstractAsyncContextManager[Policy]:
        return taught(prompts, session, self.rounds, self._labelled, self._schedule)

    async def answer(self, prompt: Prompt, session: Session) -> Rollout:
        return await attempted(prompt, session)

    async def _labelled(self, prompt: Prompt, policy: Policy, session: Session) -> list[Rollout]:
        """The completions of a problem to train on, with their reshaped advantages as rewards."""
        found = await session.all([self._tree(prompt, policy, session) for _ in range(self.trees)])
        votes = [one for some in found for one in some]
        answers = [session.answer_of(one) for one, _ in votes]
        label = label_of(answers, self.least)
        if label is None:
            return []
        votes, answers = votes[: self.trained], answers[: self.trained]
        gains = reshaped(advantages(answers, label), [entropy for _, entropy in votes])
        return [changed(one, reward=gain) for (one, _), gain in zip(votes, gains, strict=True) if gain]

    async def _tree(self, prompt: Prompt, policy: Policy, session: Session) -> list[tuple[Rollout, float]]:
        """The completions of a tree, each with the mean entropy of its tokens."""
        parts = await grown(prompt, session, self.step_tokens, self.temperature, policy)
        [row] = await session.logprobs_of([parts[-1].rollout], "entropy", of=policy)
        begins = unsure(parts, row, self.forks)
        others = await forked(prompt, session, begins, self.branches, self.temperature, policy)
        rows = await session.logprobs_of(others, "entropy", of=policy) if others else []
        return list(zip([parts[-1].rollout, *others], map(mean, [row, *rows]), strict=True))

    def _schedule(self, number: int) -> PolicyGradient:
        return PolicyGradient(
            learning_rate=self.learning_rate,
            max_steps=self.max_steps,
            per_device_train_batch_size=self.per_device_train_batch_size,
            temperature=self.temperature,
            seed=number,
        )


def reshaped(gains: Sequence[float], entropies: Sequence[float]) -> list[float]:
    """Each advantage times 1 + (mean - own) / mean of the entropies; as it is if all of them are 0."""
    usual = mean(entropies)
    return [gain * (1 + (usual - own) / usual) if usual else gain for gain, own in zip(gains, entropies, strict=True)]
