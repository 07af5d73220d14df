"""Audit what was kept against the reference answers, and let no batch with too many wrong rows into training.

Idea: a few rows that please the reward and are wrong are enough to teach the model to please it.
Survey: quality control, section 3.2.1; reward hacking, section 7.3.
Paper: arXiv:2603.07084 (Countdown-Code), 2026: 1 % of hacked rows in fine-tuning seeds what later rounds amplify.
Algorithm:
  1. Mark `audit` random rows with the task's rule; of a preference the chosen completion. Wrong is a mark below 1/2.
  2. Bound: the one-sided 95 % Clopper-Pearson upper bound of the share of wrong rows; where every row was marked, the
     share itself.
  3. Bound at most `max_share`: keep all rows.
  4. Otherwise `filter` marks every row and drops the wrong ones; `refuse` keeps nothing, which ends the run.
Differs: the paper measures the harm; the rule is ours. Rows without a reference answer cannot be marked: `filter` keeps
  them, `refuse` does not count them, and refuses where there is no other. It reads the reference answers of training
  problems, so a recipe with it needs labels. 100 rows without a wrong one have the bound 0.0295, one wrong row 0.047.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from selfimprove.bounds import bounded
from selfimprove.errors import RecipeError
from selfimprove.interfaces import Context, Selection
from selfimprove.measures.statistics import clopper_pearson
from selfimprove.records import Preference, Record, Rollout
from selfimprove.registry import register


@register("quarantine", paper="2603.07084")
@dataclass
class Quarantine(Selection):
    consumes: ClassVar[Any] = Record
    produces: ClassVar[Any] = Record
    audit: int = bounded(100, 1)
    """Rows that are marked first."""
    max_share: float = bounded(0.03, 0, 1)
    """Share of wrong rows that may go into training."""
    mode: str = "filter"
    """What to do with a batch that may have more: `filter` drops the wrong rows, `refuse` keeps nothing."""

    def __post_init__(self) -> None:
        if self.mode not in ("filter", "refuse"):
            raise RecipeError(f"selection.quarantine.mode is {self.mode!r}; it must be filter or refuse")

    def select(self, records: Sequence[Any], context: Context) -> Sequence[Record]:
        if not records:
            return records
        audited = random.Random(context.seed).sample(records, min(self.audit, len(records)))
        marks = [mark for record in audited if (mark := _mark(record, context)) is not None]
        wrong = sum(mark < 0.5 for mark in marks)
        share = wrong / len(marks) if marks else 0.0
        bound = share if len(marks) == len(records) else clopper_pearson(wrong, len(marks), 0.90)[1]
        context.log.metric("quarantine/wrong_share", share)
        told = f"quarantine: {wrong} of {len(marks)} marked rows are wrong, at most {bound:.1%} of all"
        if bound <= self.max_share:
            context.log.note(f"{told}; all {len(records)} are kept")
            return records
        if self.mode == "refuse":
            context.log.note(f"{told}, which is more than {self.max_share:.1%}: none is kept")
            return []
        kept = [record for record in records if (mark := _mark(record, context)) is None or mark >= 0.5]
        context.log.note(f"{told}; {len(records) - len(kept)} of {len(records)} are wrong and dropped")
        return kept


def _mark(record: Record, context: Context) -> float | None:
    """How right what a record teaches is; None where nobody can say."""
    match record:
        case Rollout():
            return context.verify(record.prompt, record.text)
        case Preference():
            return context.verify(record.prompt, record.chosen[-1]["content"])
        case _:
            return None
