"""Right answers to problems for choosing: what a selection wants the model to become better at.

They come from problems of the selection split, which are never trained on. The answer is the task's own solution where
the task's rule marks it right, else the first right one of a few samples.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Flow, Given
from selfimprove.interfaces import Context, Selection
from selfimprove.measures import ranks
from selfimprove.needs import Needs
from selfimprove.records import Prompt, Record, Rollout
from selfimprove.registry import name_of


def cost(given: Given, problems: int, samples: int) -> Cost:
    """The largest cost of `right_answers`."""
    return given.draw(min(problems, given.selection) * samples)


def right_answers(context: Context, problems: int, samples: int) -> list[Rollout]:
    """At most one right answer to each of so many selection problems, in their order."""
    asked = context.selection(problems)
    solved = [_solution(prompt, context) for prompt in asked]
    rest = [prompt for prompt, found in zip(asked, solved, strict=True) if found is None]
    drawn = iter(context.policy.plain().sample(rest, samples) if rest and samples else [[] for _ in rest])
    found = [
        one or next((row for row in next(drawn) if context.verify(row.prompt, row.text) == 1.0), None) for one in solved
    ]
    return [one for one in found if one is not None]


def _solution(prompt: Prompt, context: Context) -> Rollout | None:
    text = context.roles.solution(prompt)
    if text is None or context.verify(prompt, text) != 1.0:
        return None
    return Rollout(prompt=prompt, completion=[{"role": "assistant", "content": text}])


@dataclass
class Aimed(Selection):
    """A selection that keeps the rows whose gradients serve right answers to selection problems, its target."""

    share: float = bounded(0.1, 0, 1)
    """Share of the rows to keep."""
    problems: int = bounded(64, 1)
    """Selection problems whose right answers are the target."""
    samples: int = bounded(4, 0)
    """Samples of a problem that the task has no solution of."""
    width: int = bounded(4096, 1)
    """Numbers of a projected gradient."""

    def needs(self) -> Needs:
        return Needs(engine=("copies",), one_process=True)

    def cost(self, given: Given) -> Cost:
        rows = given.flow.records + min(self.problems, given.selection)
        return cost(given, self.problems, self.samples) + self.passes(rows)

    def gives(self, given: Given) -> Flow:
        came = given.flow
        return Flow(round(self.share * came.records), came.prompts, came.group)

    def select(self, records: Sequence[Any], context: Context) -> Sequence[Record]:
        target = right_answers(context, self.problems, self.samples) if records else []
        if records and not target:
            context.log.note(
                f"{name_of(self)}: no selection problem has a right answer, so there is no target: rows stay at random"
            )
        scores = self.serving(records, target, context) if target else [0.0] * len(records)
        return ranks.highest(records, scores, round(self.share * len(records)))

    @abstractmethod
    def passes(self, rows: int) -> Cost:
        """What the gradients of so many rows, those of the target among them, take."""

    @abstractmethod
    def serving(self, records: Sequence[Rollout], target: Sequence[Rollout], context: Context) -> list[float]:
        """How much each record serves the target; neither is empty."""
