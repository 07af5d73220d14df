"""The model itself says whether an attempt is right: a reward without labels and without a verifier.

Idea: to judge an answer is easier than to give one, so a model can be its own teacher.
Survey: model judges, section 4.3.2.
Paper: arXiv:2305.14483 (SIRLC), Pang et al., 2023: the correctness prompt; the evaluator's weights stay those of the
  start. Several judgements of one answer are averaged in arXiv:2401.10020 (Self-Rewarding), Yuan et al., 2024.
Algorithm:
  1. Word each completion as the task's role `judge`; equal ones are asked once.
  2. Draw `samples` judgements of all of them in one call and let the task read their verdicts.
  3. The score is the mean of the verdicts that could be read, None where there is none.
  4. It must pass the audit form before it selects data, see `judging`.
Differs: SIRLC asks once for a word, without steps before it, and also has a prompt for a mark from 1 to 10. The audit
  form is not in the papers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from selfimprove.errors import RecipeError
from selfimprove.interfaces import Context, Reward, Sampling
from selfimprove.records import Prompt, Rollout
from selfimprove.registry import register


@register("judge", paper="2305.14483")
@dataclass
class Judge(Reward):
    judges: ClassVar[bool] = True
    samples: int = 3
    """Judgements of each attempt."""
    temperature: float = 1.0
    """Sampling temperature of the judgements; 0 is greedy, where one sample is enough."""
    frozen: bool = True
    """Whether the weights of round 0 judge in every round; else the policy that the round trains from."""
    min_youden: float = 0.1
    """Audit form: the share of right attempts that pass, less that of wrong ones, is above this by its lower bound."""
    min_auc: float = 0.6
    """Audit form: how often a right attempt must score above a wrong one at the same problem."""
    trust: bool = False
    """Go on with a judge that did not pass its audit form; the run says so."""

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise RecipeError(f"reward.judge.samples is {self.samples}; it must be at least 1")
        if self.temperature < 0:
            raise RecipeError(f"reward.judge.temperature is {self.temperature}; it must be at least 0")

    def score(self, groups: Sequence[Sequence[Rollout]], context: Context) -> list[list[float | None]]:
        asked = [[_question(rollout, context) for rollout in group] for group in groups]
        questions = {question.id: question for group in asked for question in group}
        policy = replace(context.policy, checkpoint=context.start) if self.frozen else context.policy
        sampling = Sampling(temperature=self.temperature)
        judgements = policy.sample(list(questions.values()), self.samples, sampling) if questions else []
        marks: dict[str, float | None] = {}
        for name, replies in zip(questions, judgements, strict=True):
            verdicts = [verdict for reply in replies if (verdict := context.roles.verdict(reply.text)) is not None]
            marks[name] = sum(verdicts) / len(verdicts) if verdicts else None
        scores = [[marks[question.id] for question in group] for group in asked]
        flat = [mark for group in scores for mark in group]
        context.log.metric("judge/unread", sum(mark is None for mark in flat) / max(1, len(flat)))
        return scores


def _question(rollout: Rollout, context: Context) -> Prompt:
    return Prompt(prompt=context.roles.judge(rollout.prompt, rollout.text), key=rollout.prompt.key)
