"""Keep the rows that a model grades high, surely, and alike however it is asked.

Idea: a model's own uncertainty tells which of its grades count, so no other judge is needed.
Survey: one-shot scoring by a model, section 3.2.1.
Paper: arXiv:2402.16705 (SelectIT), Liu et al., 2024.
Algorithm:
  1. Ask for a grade from 1 to 5 in five wordings. Normalize the probabilities p of the digits, and take q = softmax(p),
     as the authors' code does.
  2. With b the likeliest grade, a wording's score is b times the mean over the other grades of |q_i - q_b|.
  3. The score of a row is the mean over wordings, divided by 1 + `alpha` times their standard deviation.
  4. Keep the `share` of the rows with the highest scores, in the given order.
Differs: the paper also averages over models of several sizes; here one judges, which a recipe may choose by the role
  judge. The wordings are ours. In the form `verdict` the grades are wrong and right, by `samples` judgements of the
  task's own judge for each of the five.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, pstdev
from typing import Any

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Flow, Given
from selfimprove.inference import ratings
from selfimprove.interfaces import Context, Selection
from selfimprove.measures import ranks
from selfimprove.needs import Needs
from selfimprove.records import Record
from selfimprove.registry import register

_ROW = "\n\nQuestion: {problem}\n\nAnswer: {0}\n\nReply with one digit from 1 to 5, where 5 is best."
ASKS = [
    f"{ask}{_ROW}"
    for ask in (
        "How well does the answer do what the question asks?",
        "Rate the quality of this answer.",
        "Would this answer be a good example for a student who learns to answer such questions?",
        "Judge the answer by whether it is correct, clear and complete.",
        "How useful is this pair of question and answer for teaching?",
    )
]


@register("selectit", paper="2402.16705")
@dataclass
class Selectit(Selection):
    share: float = bounded(0.2, 0, 1)
    """Share of the rows to keep."""
    alpha: float = bounded(0.2, 0)
    """How much disagreement between wordings counts."""
    form: str = "grades"
    """How the judge is asked: `grades` for a digit, `verdict` in the task's own role judge."""
    samples: int = bounded(2, 1)
    """Judgements of a row for each wording, in the form verdict."""

    def __post_init__(self) -> None:
        ratings.check(self.form, "selection.selectit.form")

    def needs(self) -> Needs:
        return ratings.needs(self.form)

    def cost(self, given: Given) -> Cost:
        return ratings.cost(given, self.form, len(ASKS), self.samples)

    def gives(self, given: Given) -> Flow:
        came = given.flow
        return Flow(round(self.share * came.records), came.prompts, came.group)

    def select(self, records: Sequence[Any], context: Context) -> Sequence[Record]:
        told = ratings.graded(records, context, self.form, ASKS, "12345", self.samples)
        scores = [[sureness(one) for one in row if one is not None] for row in told]
        context.log.metric("selectit/unread", sum(not row for row in scores) / max(1, len(scores)))
        marks = [fmean(row) / (1 + self.alpha * pstdev(row)) if row else None for row in scores]
        return ranks.highest(records, marks, round(self.share * len(records)))


def sureness(grades: Sequence[float]) -> float:
    """The score of one wording: the likeliest grade times its mean distance from the others in probability."""
    powers = [math.exp(share) for share in grades]
    soft = [power / sum(powers) for power in powers]
    best = max(range(len(soft)), key=lambda place: soft[place])
    return (best + 1) * sum(abs(one - soft[best]) for one in soft) / (len(soft) - 1)
