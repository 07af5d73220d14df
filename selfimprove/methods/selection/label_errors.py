"""Drop rows whose answer looks wrong to models that did not learn it.

Idea: a model that was trained on the other rows gives a wrong answer little probability, and prefers another with
confidence.
Survey: static curation and filtering, sections 2.2 and 3.2.1.
Paper: arXiv:1911.00068 (confident learning), Northcutt et al., 2019; the worst token of a row as its quality:
  arXiv:2210.03920, Wang and Mueller, 2022.
Algorithm:
  1. Divide the problems at random into `folds`; train a copy of the weights on the rows of all other folds.
  2. With the copy that did not see its problem, take the probability of each token of a row, and the likeliest one.
  3. Tokens of the vocabulary are the classes. The threshold of a class is the mean probability of its tokens where a
     row has them; a token is doubtful where another is the likeliest, with at least the threshold of its own class.
  4. Drop the rows with a doubtful token; with `share` keep instead the share of the rows whose least probable token is
     the most probable.
Differs: of all classes above their thresholds the paper takes the likeliest; here it is asked of the likeliest token
  alone. A class that no row has takes the mean over all tokens. cleanlab then prunes by estimated rates of noise; here
  whatever is confidently another goes. An answer that is new to the model looks wrong too, if no other row teaches what
  it takes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from statistics import fmean
from typing import Any

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Flow, Given
from selfimprove.interfaces import Context, Selection
from selfimprove.measures import ranks
from selfimprove.needs import Needs
from selfimprove.records import Record, Rollout, digest
from selfimprove.registry import register
from selfimprove.training import Schedule

STATISTICS = ("logprob", "behind", "token", "likeliest")


@dataclass(frozen=True)
class Told:
    """What a copy that did not learn it says of a token."""

    own: float
    """Its log-probability."""
    behind: float
    """By how many nats the likeliest one is likelier."""
    token: int
    likeliest: int


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
        return Needs(engine=("copies",), statistics=STATISTICS, one_process=True)

    def cost(self, given: Given) -> Cost:
        rows = given.flow.records
        return Cost(scored=3 * rows, copies=self.folds, steps=self.folds * self.max_steps)

    def gives(self, given: Given) -> Flow:
        came = given.flow
        most = came.records if self.share is None else round(self.share * came.records)
        return Flow(most, came.prompts, came.group)

    def select(self, records: Sequence[Any], context: Context) -> Sequence[Record]:
        told = self._told(records, context)
        worst = [min((one.own for one in row), default=None) for row in told]
        if self.share is not None:
            return ranks.highest(records, worst, round(self.share * len(records)))
        doubtful = doubted(told)
        context.log.metric("label_errors/dropped", sum(doubtful))
        if records and all(doubtful):
            context.log.note("label_errors: every row is doubtful: train the copies for more steps, or set share")
        return [one for one, out in zip(records, doubtful, strict=True) if not out]

    def _told(self, records: Sequence[Rollout], context: Context) -> list[list[Told]]:
        folds = [int(digest([context.seed, one.prompt.key or one.prompt.id])[:8], 16) % self.folds for one in records]
        made: list[list[Told]] = [[] for _ in records]
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
                numbers = zip(*(copy.logprobs_of(asked, one) for one in STATISTICS), strict=True)
                for place, columns in zip(out, numbers, strict=True):
                    made[place] = [
                        Told(own, behind, int(token), int(likeliest))
                        for own, behind, token, likeliest in zip(*columns, strict=True)
                    ]
        return made


def doubted(rows: Sequence[Sequence[Told]]) -> list[bool]:
    """Whether each row has a token where another is the likeliest, as surely as that one is told where rows have it."""
    classes: dict[int, list[float]] = {}
    for one in chain.from_iterable(rows):
        classes.setdefault(one.token, []).append(math.exp(one.own))
    usual = fmean(chain.from_iterable(classes.values())) if classes else 0.0
    least = {token: fmean(told) for token, told in classes.items()}

    def doubtful(one: Told) -> bool:
        return one.likeliest != one.token and math.exp(one.own + one.behind) >= least.get(one.likeliest, usual)

    return [any(map(doubtful, row)) for row in rows]
