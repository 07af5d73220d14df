"""Audit problems with a wrong reference: a sample that is right under it exploits the marking rule."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from selfimprove.interfaces import Task
from selfimprove.problems.gold import FORMS
from selfimprove.records import Prompt, Rollout
from selfimprove.rounds import Verify

TRIED = 8
"""References of other problems to try for each problem, before it counts as having no trap."""
NONSENSE = "?"
"""A completion that is never right, unless the rule accepts everything."""


def reading(problem: Prompt, task: Task) -> str | None:
    """A problem's reference in the form of the task's answers; None if it cannot be read."""
    form = _form_of_reference(problem, task.verify)
    return task.answer_of(form(str(problem.answer))) if form else None


def _form_of_reference(problem: Prompt, verify: Verify) -> Callable[[str], str] | None:
    """A completion that states the reference so that the rule finds it right; None if no usual form works."""
    answer = problem.answer
    return None if answer is None else next((form for form in FORMS if verify(problem, form(answer)) == 1.0), None)


def honeypots(samples: Sequence[Rollout], verify: Verify) -> list[float | None]:
    """The mark of each right sample if another problem's reference replaces its own.

    Args:
        samples: `info["truth"]` is the mark under the own reference; only samples with mark 1 are tested.

    Returns:
        For each sample a mark in [0, 1]; 1 is a hit, a sample that is right whatever the reference. None for a wrong
        sample, and for one of a problem without a trap (see `_trap`): if the rule ignores the reference, a second right
        mark is no evidence. If NONSENSE is right, all samples are hits.
    """
    answers = list(dict.fromkeys(r.prompt.answer for r in samples if r.prompt.answer is not None))
    places = {answer: place for place, answer in enumerate(answers)}
    traps: dict[str, Prompt | None] = {}
    found: list[float | None] = []
    for sample in samples:
        prompt = sample.prompt
        if sample.info["truth"] != 1.0 or prompt.answer is None:
            found.append(None)
            continue
        if prompt.id not in traps:
            after = places[prompt.answer] + 1
            traps[prompt.id] = _trap(prompt, [*answers[after:], *answers[: after - 1]], verify)
        trap = traps[prompt.id]
        found.append(1.0 if trap is prompt else verify(trap, sample.text) if trap else None)
    return found


def _trap(prompt: Prompt, others: Sequence[str], verify: Verify) -> Prompt | None:
    """The problem with the first other reference that the rule distinguishes from its own, in both directions.

    Both are stated as answers in a form in which the rule finds the own one right. The other one must be wrong here,
    otherwise both mean the same; and the own one must be wrong under the other reference, otherwise the rule ignores
    the reference, and an honest sample would be right under both.

    Returns:
        Without such a reference: the problem itself if NONSENSE is right, else None.
    """
    own, form = str(prompt.answer), _form_of_reference(prompt, verify)
    for other in others[:TRIED]:
        moved = replace(prompt, answer=other)
        if form and not _right(verify(prompt, form(other))) and not _right(verify(moved, form(own))):
            return moved
    return prompt if verify(prompt, NONSENSE) == 1.0 else None


def _right(mark: float | None) -> bool:
    return mark is not None and mark > 0.5
