"""The probability with which the model judges an attempt right, from the last token of one judgement.

Idea: a judgement is one bit; comparing its probability with that of the opposite judgement shows how sure it is.
Survey: confidence rewards, section 4.3.2.
Paper: arXiv:2207.05221 (Language Models Mostly Know What They Know), Kadavath et al., 2022: P(True).
Algorithm:
  1. Put each completion into the prompt of the task's role `judge`; equal completions are judged once. Draw one greedy
     judgement.
  2. Swap its last `#y` and `#n`, and get the log-probabilities of both versions from the model.
  3. P(True) = p(yes) / (p(yes) + p(no)): the reasoning before it cancels out. None if the judgement is unreadable.
  4. The judge must pass its audit form before it selects data, see `measures/judge_reliability.py`.
Differs: the paper asks for the letter at once, without reasoning, and shows the model several of its own answers for
  comparison; which weights judge in a loop is our choice. The audit form is not in the paper.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from selfimprove.costs import Cost, Given
from selfimprove.interfaces import GREEDY, Context, Grading, Roles
from selfimprove.needs import Needs
from selfimprove.records import Prompt, Rollout
from selfimprove.registry import register

_MARK = re.compile(r"(.*#)([yn])", re.DOTALL | re.IGNORECASE)


@register("p_true", paper="2207.05221")
@dataclass
class PTrue(Grading):
    def needs(self) -> Needs:
        return Needs(statistics=("logprob",))

    def cost(self, given: Given) -> Cost:
        return given.draw(given.flow.records) + Cost(scored=2 * given.flow.records)

    def rate(self, groups: Sequence[Sequence[Rollout]], context: Context) -> list[list[float | None]]:
        asked = [[self.question(rollout, context.roles) for rollout in group] for group in groups]
        questions = {question.id: question for group in asked for question in group}
        policy = replace(context.policy, checkpoint=context.start) if self.frozen else context.policy
        said = [reply for [reply] in policy.sample(list(questions.values()), 1, GREEDY)] if questions else []
        pairs = {name: pair for name, reply in zip(questions, said, strict=True) if (pair := _endings(reply, context))}
        rows = (
            [math.fsum(row) for row in policy.logprobs_of([end for pair in pairs.values() for end in pair])]
            if pairs
            else []
        )
        marks = {name: _share(*rows[2 * i : 2 * i + 2]) for i, name in enumerate(pairs)}
        scores = [[marks.get(question.id) for question in group] for group in asked]
        flat = [mark for group in scores for mark in group]
        context.log.metric("p_true/unread", sum(mark is None for mark in flat) / max(1, len(flat)))
        return scores

    def question(self, rollout: Rollout, roles: Roles) -> Prompt:
        return Prompt(prompt=roles.judge(rollout.prompt, rollout.text), key=rollout.prompt.key)

    def read(self, text: str, roles: Roles) -> float | None:
        return roles.read_judgement(text)


def _endings(reply: Rollout, context: Context) -> tuple[Rollout, Rollout] | None:
    """The judgement with yes and with no as its end; None if it ends in neither."""
    mark = _MARK.match(reply.text)  # greedy, so it is the last one
    if not mark:
        return None
    texts = [mark[1] + letter + reply.text[mark.end() :] for letter in ("y", "n")]
    if [context.roles.read_judgement(text) for text in texts] != [1.0, 0.0]:
        return None
    yes, no = (replace(reply, completion=[{"role": "assistant", "content": text}], logprobs=None) for text in texts)
    return yes, no


def _share(yes: float, no: float) -> float:
    gap = max(-700.0, min(700.0, no - yes))  # the range of a float
    return 1 / (1 + math.exp(gap))
