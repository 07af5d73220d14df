"""Process reward: how often completions from each step of a solution reach a right answer.

Idea: after a wrong step, few completions are right. So steps can be rewarded without labels, and a solution that is
  right by luck gets less than a sound one.
Survey: process rewards, section 4.3.2.
Paper: arXiv:2312.08935 (Math-Shepherd), Wang et al., 2023.
Algorithm:
  1. Split a completion into steps after each `separator`; with `most_steps` only the first ones have a value.
  2. From the end of each step except the last, draw `samples` continuations; the value of the step is the share of them
     that the task marks right (`soft`), or 1 if any is right (`hard`). The value of the last step is its own mark.
  3. The reward is the minimum (`min`), the product or the mean of the values; None if the reference cannot be read.
Differs: the paper trains a reward model on these values; here the estimates themselves are the reward, which costs
  steps times samples continuations per completion. Equal prefixes of a problem are continued once. The minimum is the
  paper's score of a solution; four samples instead of the paper's eight are our choice.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import ClassVar

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Given
from selfimprove.errors import RecipeError
from selfimprove.interfaces import Context, Reward, Sampling
from selfimprove.records import Cut, Rollout
from selfimprove.registry import register
from selfimprove.text import prefilled, steps_of


@register("math_shepherd", paper="2312.08935")
@dataclass
class MathShepherd(Reward):
    reads_answers: ClassVar[bool] = True
    separator: str = "\n"
    """What ends a step; `;` in the tiny tasks."""
    most_steps: int | None = bounded(None, 1)
    """Steps of a solution, from its first on, whose beginnings are finished; null: all of them but the last."""
    samples: int = bounded(4, 1)
    """Continuations from each step."""
    temperature: float = bounded(1.0, 0, 100)
    """Sampling temperature of the continuations."""
    estimate: str = "soft"
    """Value of a step: `soft`, the share of right continuations, or `hard`, whether any is right."""
    combine: str = "min"
    """Reward of a solution from the values of its steps: `min`, `product` or `mean`."""

    def __post_init__(self) -> None:
        if self.estimate not in ("soft", "hard") or self.combine not in ("min", "product", "mean"):
            raise RecipeError(
                "reward.math_shepherd takes estimate: soft or hard, and combine: min, product or mean, "
                f"not {self.estimate!r} and {self.combine!r}"
            )
        if not self.separator:
            raise RecipeError("reward.math_shepherd needs a separator")

    def cost(self, given: Given) -> Cost:
        begins = given.length - 1 if self.most_steps is None else min(self.most_steps, given.length - 1)
        return given.draw(given.flow.records * begins * self.samples)  # each token may end a step

    def rate(self, groups: Sequence[Sequence[Rollout]], context: Context) -> list[list[float | None]]:
        marks = [[context.verify(rollout.prompt, rollout.text) for rollout in group] for group in groups]
        known = [
            r
            for group, row in zip(groups, marks, strict=True)
            for r, mark in zip(group, row, strict=True)
            if mark is not None
        ]
        begins: dict[tuple[str, str], Rollout] = {}
        for rollout in known:
            for text in self._begins(rollout):
                begins.setdefault((rollout.prompt.id, text), rollout)
        asked = [prefilled(one.prompt, text, one.completion[-1]) for (_, text), one in begins.items()]
        drawn = context.policy.sample(asked, self.samples, Sampling(temperature=self.temperature)) if asked else []
        values = {
            place: self._value([context.verify(one.prompt, _whole(place[1], end)) or 0.0 for end in ends])
            for (place, one), ends in zip(begins.items(), drawn, strict=True)
        }
        return [
            [
                None if mark is None else self._score(rollout, mark, values)
                for rollout, mark in zip(group, row, strict=True)
            ]
            for group, row in zip(groups, marks, strict=True)
        ]

    def _begins(self, rollout: Rollout) -> list[str]:
        """The solution up to the end of each step except the last, for the first `most_steps` steps."""
        return list(accumulate(steps_of(rollout.text, self.separator)))[:-1][: self.most_steps]

    def _value(self, ends: Sequence[float]) -> float:
        return max(ends) if self.estimate == "hard" else sum(ends) / len(ends)

    def _score(self, rollout: Rollout, mark: float, values: dict[tuple[str, str], float]) -> float:
        steps = [*(values[rollout.prompt.id, text] for text in self._begins(rollout)), mark]
        if self.combine == "mean":
            return sum(steps) / len(steps)
        return min(steps) if self.combine == "min" else math.prod(steps)


def _whole(begun: str, end: Rollout) -> str:
    """The text of a completion whose beginning was given."""
    return Cut(begun + end.text) if end.truncated else begun + end.text
