"""Pair right completions of a problem with wrong ones, every right with every wrong one, up to a cap.

Idea: preference data from a binary reward: every right sample is better than every wrong one.
Survey: one-shot scoring, section 3.2.1.
Paper: arXiv:2404.19733 (IRPO), Pang et al., 2024; all right with all wrong ones: arXiv:2402.06457 (V-STaR).
Algorithm:
  1. Right means a reward of at least `right`, wrong one of at most `wrong`; all others are left out.
  2. Equal texts of a problem count once.
  3. Pair right and wrong completions in turn, so that all are used before any is used again, until there are `pairs`
     pairs or no more.
Differs: the order and the default of `pairs` are our choice.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, ClassVar

from selfimprove.costs import Flow, Given
from selfimprove.errors import RecipeError
from selfimprove.interfaces import Context, Selection
from selfimprove.records import Preference, Record, Rollout, by_prompt
from selfimprove.registry import register


@register("correct_vs_wrong", paper="2404.19733")
@dataclass
class CorrectVsWrong(Selection):
    consumes: ClassVar[Any] = Rollout
    produces: ClassVar[Any] = Preference
    looped: ClassVar[bool] = True
    right: float = 1.0
    """Lowest reward of a chosen completion."""
    wrong: float = 0.0
    """Highest reward of a rejected completion."""
    pairs: int | None = 10
    """Most pairs per problem; null makes all."""

    def __post_init__(self) -> None:
        if not self.right > self.wrong:
            raise RecipeError("selection.correct_vs_wrong needs right above wrong")

    def gives(self, given: Given) -> Flow:
        came = given.flow
        most = came.group // 2 * (came.group - came.group // 2)  # as many right ones as wrong ones
        pairs = most if self.pairs is None else min(self.pairs, most)
        return Flow(came.prompts * pairs, came.prompts, pairs)

    def select(self, records: Sequence[Any], context: Context) -> Sequence[Record]:
        return [
            Preference.of(
                best,
                worst,
                info={"chosen_score": best.reward, "rejected_score": worst.reward},
            )
            for right, wrong in map(self._sides, by_prompt(records))
            for best, worst in islice(_in_turn(list(right.values()), list(wrong.values())), self.pairs)
            if best.text != worst.text  # a random reward may give one text both marks
        ]

    def _sides(self, group: Sequence[Rollout]) -> tuple[dict[str, Rollout], dict[str, Rollout]]:
        """The right and the wrong ones of a prompt, each text once."""
        right, wrong = dict[str, Rollout](), dict[str, Rollout]()
        for rollout in group:
            if rollout.reward is not None and rollout.reward >= self.right - 1e-9:
                right.setdefault(rollout.text, rollout)
            elif rollout.reward is not None and rollout.reward <= self.wrong + 1e-9:
                wrong.setdefault(rollout.text, rollout)
        return right, wrong


def _in_turn(right: list[Rollout], wrong: list[Rollout]) -> Iterator[tuple[Rollout, Rollout]]:
    """All pairs, once each, in an order in which any first n pairs use the completions as evenly as possible."""
    if right and wrong:
        lap = math.lcm(len(right), len(wrong))  # after `lap` pairs the same ones would repeat, so shift by one
        for n in range(len(right) * len(wrong)):
            yield right[n % len(right)], wrong[(n + n // lap) % len(wrong)]
