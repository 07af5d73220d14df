"""Drop rows whose answer looks wrong to models that did not learn it.

Idea: a model that was trained on the other rows gives a wrong answer little probability, and prefers another with
confidence.
Survey: static curation and filtering, sections 2.2 and 3.2.1.
Paper: arXiv:1911.00068 (confident learning), Northcutt et al., 2019; the worst token of a row as its quality:
  arXiv:2210.03920, Wang and Mueller, 2022.
Algorithm:
  1. Divide the problems at random into `folds`; train a copy of the weights on the rows of all other folds.
  2. With the copy that did not see its problem, take the probability of each token of a row, and of the likeliest one.
  3. The threshold is the mean probability of the tokens that are the likeliest. A token is doubtful where another is
     the likeliest and is at least as probable as the threshold.
  4. Drop the rows with a doubtful token; with `share` keep instead the share of the rows whose least probable token is
     the most probable.
Differs: the papers have a threshold for each class; here tokens are the classes, too many for thresholds of their own.
  cleanlab takes probabilities of classes, which generated text has none of. An answer that is new to the model looks
  wrong too, if no other row teaches what it takes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Flow, Given
from selfimprove.interfaces import Context, Selection
from selfimprove.measures import ranks
from selfimprove.needs import Needs
from selfimprove.records import Record, Rollout, digest
from selfimprove.registry import register
from selfimprove.training import Schedule


@register("label_errors", paper="1911.00068")
@dataclass
class LabelErrors(Selection):
    share: float | None = bounded(None, 0, 1)
    """Share of the rows to keep; null drops the doubtful ones, however many there are."""
    folds: int = bounded(2, 2)
    """Parts of the problems; so many copies are trained."""
    max_steps: int = bounded(60, 1)
    """Optimizer steps of a copy."""
    per_device_train_batch_size: int = bounded(32, 1)
    """Rows of a step."""
    learning_rate: float = bounded(2e-5, 0, 100)
    """Learning rate of the copies."""

    def needs(self) -> Needs:
        return Needs(engine=("copies",), statistics=("logprob", "behind"), one_process=True)

    def cost(self, given: Given) -> Cost:
        rows = given.flow.records
        return Cost(scored=2 * rows, copies=self.folds, steps=self.folds * self.max_steps)

    def gives(self, given: Given) -> Flow:
        came = given.flow
        most = came.records if self.share is None else round(self.share * came.records)
        return Flow(most, came.prompts, came.group)

    def select(self, records: Sequence[Any], context: Context) -> Sequence[Record]:
        told = self._told(records, context)
        worst = [min((own for own, _ in row), default=None) for row in told]
        if self.share is not None:
            return ranks.highest(records, worst, round(self.share * len(records)))
        doubtful = doubted(told)
        context.log.metric("label_errors/dropped", sum(doubtful))
        if records and all(doubtful):
            context.log.note("label_errors: every row is doubtful: train the copies for more steps, or set share")
        return [one for one, out in zip(records, doubtful, strict=True) if not out]

    def _told(self, records: Sequence[Rollout], context: Context) -> list[list[tuple[float, float]]]:
        """For each token of each row its log-probability, and by how many nats another is likelier."""
        folds = [int(digest([context.seed, one.prompt.key or one.prompt.id])[:8], 16) % self.folds for one in records]
        made: list[list[tuple[float, float]]] = [[] for _ in records]
        order = ranks.by_id(records)
        for fold in sorted(set(folds)):
            out = [place for place in order if folds[place] == fold]
            rows = [records[place] for place in order if folds[place] != fold]
            if not rows:  # all rows are of one problem, and nobody could have learned of the others
                continue
            schedule = Schedule(
                learning_rate=self.learning_rate,
                max_steps=self.max_steps,
                per_device_train_batch_size=min(len(rows), self.per_device_train_batch_size),
                seed=context.seed,
            )
            with context.policy.adapted(rows, schedule) as copy:
                asked = [records[place] for place in out]
                pairs = zip(out, copy.logprobs_of(asked), copy.logprobs_of(asked, "behind"), strict=True)
                for place, own, behind in pairs:
                    made[place] = list(zip(own, behind, strict=True))
        return made


def doubted(told: Sequence[Sequence[tuple[float, float]]]) -> list[bool]:
    """Whether each row has a token where another is the likeliest, with as much confidence as is usual.

    Args:
        told: for each token of each row its log-probability, and by how many nats another one is likelier.
    """
    sure = [math.exp(own) for row in told for own, behind in row if behind <= 0]
    usual = sum(sure) / len(sure) if sure else 0.0
    return [any(behind > 0 and math.exp(own + behind) >= usual for own, behind in row) for row in told]
