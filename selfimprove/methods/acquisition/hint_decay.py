"""Problems with the first steps of a correct solution, one step fewer each round.

Idea: a problem that is never solved gives no signal. Given all steps of a correct solution except the last, it is easy;
  removing the steps one by one leads from there to the bare problem, and each stage can be learned from the previous.
Survey: curricula, section 2.4.2; hints, section 4.3.
Paper: arXiv:2508.07809 (EvoCoT), Liu et al., 2025: stage 2, step-wise shortening of verified chains of thought.
Algorithm:
  1. Reward the incoming solutions; for each problem take the solution with the fewest steps whose reward is at least
     `right`. Problems without one are dropped.
  2. Split it into steps after each `separator` and remove the last `remove` steps; null removes as many as the number
     of the round.
  3. Return the problem with the remaining steps as a prefilled answer, or the bare problem if none remain.
Differs: the paper goes through all lengths of a chain in one training run, here each round has one length. Its chains
  come from the model with the answer shown: `rationalize` before this method. The shortest chain is our choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Flow, Given
from selfimprove.errors import RecipeError
from selfimprove.interfaces import Acquisition, Context
from selfimprove.records import Prompt, Record, Rollout
from selfimprove.registry import register
from selfimprove.text import prefilled, steps_of


@register("hint_decay", paper="2508.07809")
@dataclass
class HintDecay(Acquisition):
    consumes: ClassVar[Any] = Rollout
    produces: ClassVar[Any] = Prompt
    separator: str = "\n"
    """What ends a step; `;` in the tiny tasks."""
    remove: int | None = bounded(None, 1)
    """Steps to remove from the end; null removes as many as the number of the round."""
    right: float = 1.0
    """Lowest reward of a solution that is used."""

    def __post_init__(self) -> None:
        if not self.separator:
            raise RecipeError("acquisition.hint_decay needs a separator")

    def cost(self, given: Given) -> Cost:
        return given.rate(given.flow)

    def gives(self, given: Given) -> Flow:
        return Flow(given.flow.prompts, given.flow.prompts)

    def acquire(self, records: Sequence[Any], context: Context) -> Sequence[Record]:
        best: dict[str, tuple[Rollout, list[str]]] = {}
        for rollout in context.reward(records):
            if rollout.reward is None or rollout.reward < self.right - 1e-9 or rollout.truncated:
                continue
            steps = steps_of(rollout.text, self.separator)
            if rollout.prompt.id not in best or len(steps) < len(best[rollout.prompt.id][1]):
                best[rollout.prompt.id] = (rollout, steps)
        remove = context.round if self.remove is None else self.remove
        shown = [steps[: max(0, len(steps) - remove)] for _, steps in best.values()]
        made = [
            prefilled(one.prompt, "".join(steps), one.completion[-1])
            for (one, _), steps in zip(best.values(), shown, strict=True)
        ]
        context.log.metric("hint_decay/problems", len(made))
        context.log.metric("hint_decay/steps_shown", sum(map(len, shown)) / max(1, len(shown)))
        return [replace(prompt, source="") for prompt in made]
