"""The model judges whether an attempt is right: a reward without labels or a verifier.

Idea: judging an answer is easier than giving one, so a model can be its own teacher.
Survey: model judges, section 4.3.2.
Paper: arXiv:2305.14483 (SIRLC), Pang et al., 2023: the correctness prompt; the evaluator's weights stay those of the
  start. Several judgements of one answer are averaged in arXiv:2401.10020 (Self-Rewarding), Yuan et al., 2024.
Algorithm:
  1. Put each completion into the prompt of the task's role `judge`; equal completions are judged once.
  2. Draw `samples` judgements of all of them in one call and let the task read them.
  3. With `scale: points` the prompt is a rubric of five points, one for each quality of an answer, as in
     Self-Rewarding; the last `Score: n` of a judgement is read as n / 5.
  4. The reward is the mean of the readable judgements; None if there is none.
  5. The judge must pass its audit form before it selects data, see `measures/judge_reliability.py`.
Differs: SIRLC asks once for one word without reasoning, and also has a prompt for a mark from 1 to 10. The wording of
  the rubric is ours (in a file beside this one). The audit form is not in the papers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Given
from selfimprove.errors import RecipeError
from selfimprove.interfaces import Context, Grading, Roles, Sampling
from selfimprove.needs import Needs
from selfimprove.records import Prompt, Rollout
from selfimprove.registry import register
from selfimprove.text import beside, grade, own_system, quoted


@register("judge", paper="2305.14483")
@dataclass
class Judge(Grading):
    scale: str = "verdict"
    """The question: the task's `verdict` (right or wrong), or `points` (zero to five by a rubric)."""
    samples: int = bounded(3, 1)
    """Judgements of each attempt."""
    temperature: float = bounded(1.0, 0, 100)
    """Sampling temperature of the judgements; 0 is greedy, where one sample is enough."""

    def __post_init__(self) -> None:
        if self.scale not in ("verdict", "points"):
            raise RecipeError(f"reward.judge.scale is {self.scale!r}; it must be verdict or points")

    def needs(self) -> Needs:
        return Needs(roles=("judge",))

    def cost(self, given: Given) -> Cost:
        return given.draw(given.flow.records * self.samples)

    def rate(self, groups: Sequence[Sequence[Rollout]], context: Context) -> list[list[float | None]]:
        asked = [[self.question(rollout, context.roles) for rollout in group] for group in groups]
        questions = {question.id: question for group in asked for question in group}
        policy = replace(context.policy, checkpoint=context.start) if self.frozen else context.policy
        sampling = Sampling(temperature=self.temperature)
        judgements = policy.sample(list(questions.values()), self.samples, sampling, role="judge") if questions else []
        marks: dict[str, float | None] = {}
        for name, replies in zip(questions, judgements, strict=True):
            verdicts = [mark for reply in replies if (mark := self.read(reply.text, context.roles)) is not None]
            marks[name] = sum(verdicts) / len(verdicts) if verdicts else None
        scores = [[marks[question.id] for question in group] for group in asked]
        flat = [mark for group in scores for mark in group]
        context.log.metric("judge/unread", sum(mark is None for mark in flat) / max(1, len(flat)))
        return scores

    def question(self, rollout: Rollout, roles: Roles) -> Prompt:
        messages = roles.judge(rollout.prompt, rollout.text)
        if self.scale == "points":
            words = beside(__name__, "judge_points.txt")
            said = words.format(problem=quoted(rollout.prompt.prompt), attempt=rollout.text)
            messages = [*own_system(rollout.prompt.prompt, roles.solve("")), {"role": "user", "content": said}]
        return Prompt(prompt=messages, key=rollout.prompt.key)

    def read(self, text: str, roles: Roles) -> float | None:
        if self.scale == "verdict":
            return roles.read_judgement(text)
        points = grade(text, 0, 5)
        return None if points is None else points / 5
