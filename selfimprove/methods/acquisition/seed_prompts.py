"""The task's own training problems.

Idea: start a round from the task's problems, new ones each round if the task can make them.
Survey: static curation, section 2.2.
Paper: none.
Algorithm:
  1. Draw `problems` problems of the training split for this round.
  2. With `fresh: false`, use the problems of the first round in every round.
Differs: nothing to compare with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from selfimprove.costs import Flow, Given
from selfimprove.interfaces import Acquisition, Context
from selfimprove.records import Prompt, Record
from selfimprove.registry import register


@register("seed_prompts")
@dataclass
class SeedPrompts(Acquisition):
    consumes: ClassVar[Any] = None
    produces: ClassVar[Any] = Prompt
    problems: int | None = 1500
    """Problems per round; null takes all problems of a finite task."""
    fresh: bool = True
    """Draw new problems each round instead of the same ones."""

    def gives(self, given: Given) -> Flow:
        n = given.problems(self.problems)
        return Flow(n, n)

    def acquire(self, records: Sequence[Any], context: Context) -> Sequence[Record]:
        return context.problems(self.problems, context.round if self.fresh else 1)
