"""Problems in splits, the rule that marks an answer, and the words for each role."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from selfimprove.errors import DataError, UserError
from selfimprove.interfaces import Task
from selfimprove.records import Prompt

FORMS: tuple[Callable[[str], str], ...] = (
    str,
    "#{}".format,
    "<answer>{}</answer>".format,
    r"\boxed{{{}}}".format,
    str.upper,
)
"""How a completion may state its final answer: bare, behind a mark, in a tag, in a box, as a capital letter."""


UNREAD = "cannot read"


def check_gold(task: Task, problems: Iterable[Prompt]) -> None:
    """Make sure that the task's rule finds its own reference answers right, in one of the usual forms.

    A problem without a reference answer is passed over: its rule needs none. So is a tenth of references that the rule
    cannot read: those problems are never scored, as a task with data of its own allows.

    Raises:
        DataError: it does not; the message names the problem and says what the rule said.
    """
    asked, unread = 0, list[str]()
    for problem in problems:
        asked += 1
        if problem.answer is not None and (said := _objection(task, problem, problem.answer)):
            message = (
                f"problem {problem.id} ({problem.key[:60]!r}): the task {said} its own reference answer "
                f"{problem.answer[:60]!r}. Correct the answer, or take the problem out"
            )
            if said != UNREAD:
                raise DataError(message)
            unread.append(message)
    if len(unread) * 10 > asked:
        raise DataError(f"{len(unread)} of {asked} references cannot be read, the first: {unread[0]}")


def _objection(task: Task, problem: Prompt, answer: str) -> str:
    """What the rule says of a reference answer, or "" where it finds it right."""
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
