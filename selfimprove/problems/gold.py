"""Checks that a task's rule marks its own reference answers as right."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from selfimprove.errors import DataError, UserError
from selfimprove.interfaces import Task
from selfimprove.problems.splits import APART
from selfimprove.records import Prompt

FORMS: tuple[Callable[[str], str], ...] = (
    str,
    "#{}".format,
    "<answer>{}</answer>".format,
    r"\boxed{{{}}}".format,
    str.upper,
)
"""Forms of a final answer: bare, behind #, in a tag, in a box, as a capital letter."""


UNREAD = "cannot read"


def check_gold(task: Task, problems: Iterable[Prompt]) -> str:
    """Check that the task's rule marks its own reference answers as right, in one of the usual forms.

    Problems without a reference answer are skipped: their rule does not need one. Up to a tenth of the references may
    be unreadable, as tasks with data allow; those problems are never marked. Returns a line about them, or "".

    Raises:
        DataError: a reference is marked wrong, or too many cannot be read; the message names the problem.
    """
    asked, unread = 0, list[str]()
    for problem in problems:
        asked += 1
        if problem.answer is not None and (said := _objection(task, problem, problem.answer)):
            message = (
                f"problem {problem.id}{_place(problem)} ({problem.key.partition(APART)[0][:60]!r}): "
                f"the task {said} its own reference answer "
                f"{problem.answer[:60]!r}. Correct the answer, or remove the problem"
            )
            if said != UNREAD:
                raise DataError(message)
            unread.append(message)
    said = f"{len(unread)} of {asked} references cannot be read, the first: {unread[0]}" if unread else ""
    if len(unread) * 10 > asked:
        raise DataError(said)
    return f"{said}. Such problems are never marked" if said else ""


def _place(problem: Prompt) -> str:
    """Where a problem stands in its file, if it is from one."""
    return next((f", {unit} {problem.info[unit]}" for unit in ("row", "line") if unit in problem.info), "")


def _objection(task: Task, problem: Prompt, answer: str) -> str:
    """Why the rule does not mark a reference answer as right, or ""."""
    marks: list[float] = []
    for form in FORMS:
        try:
            mark = task.verify(problem, form(answer))
        except UserError:
            raise
        except Exception as error:
            return f"fails ({type(error).__name__}: {' '.join(str(error).split())[:80]}) on"
        if mark == 1.0:
            return ""
        if mark is not None:
            marks.append(mark)
    return f"gives {max(marks):g}, not 1, to" if marks else UNREAD
