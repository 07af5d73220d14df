"""Keep the answers that their problem helps least with: the highest instruction-following difficulty.

Idea: an answer that is as unlikely after its problem as without it shows what the model still has to learn.
Survey: one-shot scoring by likelihood, section 3.2.1.
Paper: arXiv:2308.12032 (IFD, Cherry), Li et al., 2023.
Algorithm:
  1. L(A|Q) is the mean loss of the answer's tokens after the problem, L(A) that of the same tokens alone.
  2. IFD = L(A|Q) / L(A). Drop rows with an IFD above 1: their problem makes the answer less likely.
  3. Keep the rows with the highest IFD, at most `share` of all, in the given order.
Differs: the paper first trains the model for one epoch on 1,000 varied rows; here the weights of the round score, which
  a loop has trained. A wrong answer has a high IFD: filter by correctness first. Where the tokenizer has no start
  token, `alone: form` takes the task's prompt with an empty problem as the beginning.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Flow, Given
from selfimprove.inference import unprompted
from selfimprove.interfaces import Context, Selection
from selfimprove.measures import ranks
from selfimprove.needs import Needs
from selfimprove.records import Record
from selfimprove.registry import register


@register("ifd", paper="2308.12032")
@dataclass
class Ifd(Selection):
    share: float = bounded(0.1, 0, 1)
    """Share of the rows to keep at most."""
    most: float = bounded(1.0, 0)
    """Rows with a larger IFD are dropped."""
    alone: str = "start"
    """What an answer without its problem follows: the tokenizer's `start` token, or the `form` of an empty problem."""

    def __post_init__(self) -> None:
        unprompted.check(self.alone, "selection.ifd.alone")

    def needs(self) -> Needs:
        return unprompted.needs(self.alone)

    def cost(self, given: Given) -> Cost:
        return Cost(scored=2 * given.flow.records)

    def gives(self, given: Given) -> Flow:
        came = given.flow
        return Flow(round(self.share * came.records), came.prompts, came.group)

    def select(self, records: Sequence[Any], context: Context) -> Sequence[Record]:
        pairs = unprompted.losses(records, context.policy, context.roles, self.alone, "selection.ifd.alone")
        scores = [None if pair is None or not pair[1] else pair[0] / pair[1] for pair in pairs]
        known = [score for score in scores if score is not None]
        context.log.metric("ifd/mean", sum(known) / max(1, len(known)))
        context.log.metric("ifd/above", sum(score > self.most for score in known) / max(1, len(known)))
        fits = [score if score is not None and score <= self.most else None for score in scores]
        return ranks.highest(records, fits, round(self.share * len(records)))
