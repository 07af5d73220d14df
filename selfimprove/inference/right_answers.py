"""Right answers to problems for choosing: what a selection wants the model to become better at.

They come from problems of the selection split, which are never trained on. The answer is the task's own solution where
the task's rule marks it right, else the first right one of a few samples.
"""

from __future__ import annotations

from selfimprove.costs import Cost, Given
from selfimprove.interfaces import Context
from selfimprove.records import Prompt, Rollout


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
