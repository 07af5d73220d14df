"""Drop completions whose likelihood differs most from that of solutions known to be right.

Idea: self-generated data drifts away from the target distribution; rows far from it teach the drift, even if their
  answers are right.
Survey: adaptive selection, section 3.3.
Paper: arXiv:2408.09849 (IWSI), Jiang et al., 2024.
Algorithm:
  1. L(y) is the mean negative log-probability per token of a completion under the current policy; L_v its mean over
     right solutions of validation problems.
  2. w = L_v / L(y), clipped to [0, 2]; the shift is w if w > 1, else 1 / w, at most 5.
  3. Keep the share `keep` of all rows with the smallest shift, in the given order.
Differs: the paper's validation set is labelled with solutions; here they are the policy's own right answers to
  problems of the selection split. The clips and about 0.8 for `keep` are from the paper's code. Use it after threshold,
  on rows that a vote or a verifier has accepted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Given
from selfimprove.interfaces import Context, Selection
from selfimprove.needs import Needs
from selfimprove.records import Record, Rollout
from selfimprove.registry import register


@register("iwsi", paper="2408.09849")
@dataclass
class Iwsi(Selection):
    looped: ClassVar[bool] = True
    keep: float = bounded(0.8, high=1, above=0)
    """Share of the rows to keep."""
    problems: int = bounded(64, 1)
    """Validation problems, from the selection split."""
    samples: int = bounded(4, 1)
    """Completions for each validation problem; only right ones are used."""

    def needs(self) -> Needs:
        return Needs(statistics=("logprob",))

    def cost(self, given: Given) -> Cost:
        drawn = min(self.problems, given.selection) * self.samples
        return given.draw(drawn) + Cost(scored=drawn + given.flow.records)

    def select(self, records: Sequence[Any], context: Context) -> Sequence[Record]:
        if not records:
            return records
        drawn = context.policy.sample(context.selection(self.problems), self.samples)
        right = [r for group in drawn for r in group if (context.verify(r.prompt, r.text) or 0.0) >= 1.0 - 1e-9]
        known = [loss for loss in _losses(right, context) if loss is not None]
        if not known:
            context.log.note(f"iwsi: no right answer to {self.problems} validation problems, so nothing is dropped")
            return records
        expected = sum(known) / len(known)
        context.log.metric("iwsi/validation_loss", expected)
        shifts = [None if loss is None else _shift(expected, loss) for loss in _losses(records, context)]
        ranked = sorted((shift, place) for place, shift in enumerate(shifts) if shift is not None)
        kept = sorted(place for _, place in ranked[: max(1, round(self.keep * len(ranked)))])
        return [records[place] for place in kept]


def _losses(rollouts: Sequence[Rollout], context: Context) -> list[float | None]:
    """The mean negative log-probability per token; None for a completion without tokens."""
    return [-sum(row) / len(row) if row else None for row in context.policy.logprobs_of(rollouts)]


def _shift(expected: float, loss: float) -> float:
    """The distribution shift of a row: from 1 (none) to 5."""
    if loss <= 0:  # probability 1: the largest shift, unless the validation solutions are as certain
        return 2.0 if expected > 0 else 1.0
    weight = min(expected / loss, 2.0)
    return weight if weight > 1 else 5.0 if 5 * weight < 1 else 1 / weight
