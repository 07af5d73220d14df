"""Audit the kept rows against the reference answers, and keep batches with too many wrong rows out of training.

Idea: a few wrong rows with a high reward are enough to teach the model to exploit the reward.
Survey: quality control, section 3.2.1; reward hacking, section 7.3.
Paper: arXiv:2603.07084 (Countdown-Code), 2026: 1 % of hacked rows in fine-tuning seeds what later rounds amplify.
Algorithm:
  1. Mark `audit` random rows with the task's rule; for a pair, the chosen completion. A mark below 1/2 is wrong.
  2. The bound is the one-sided 95 % Clopper-Pearson upper bound of the share of wrong rows, or the share itself if
     every row was marked.
  3. If the bound is at most `max_share`, keep all rows.
  4. Otherwise `filter` marks every row and drops the wrong ones; `refuse` keeps nothing, which ends the run.
Differs: the paper measures the harm; the rule is ours. Rows without a reference answer cannot be marked: `filter` keeps
  them, `refuse` ignores them, and refuses if there are no others. The method reads the reference answers of training
  problems, so it needs labels. 100 rows with no wrong one have the bound 0.0295, with one wrong row 0.047.
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
    looped: ClassVar[bool] = True
    audit: int = bounded(100, 1)
    """Rows that are marked first."""
    max_share: float = bounded(0.03, 0, 1)
    """Largest share of wrong rows that may go into training."""
    mode: str = "filter"
    """Action for a batch above the bound: `filter` drops the wrong rows, `refuse` keeps nothing."""

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
    """The mark of the completion that a record teaches; None if it cannot be marked."""
    match record:
        case Rollout():
            return context.verify(record.prompt, record.text)
        case Preference():
            return context.verify(record.prompt, record.sides[0].text)
        case _:
            return None
