"""Rows of programming problems whose tests tell a right program from a wrong one: these are run before a run."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

from selfimprove.errors import DataError
from selfimprove.problems.code_rows import Problem, read
from selfimprove.problems.rows import Counts
from selfimprove.safety.sandbox.grading import grade
from selfimprove.safety.sandbox.jail_process import Limits
from selfimprove.safety.sandbox.open import shared
from selfimprove.safety.sandbox.runner import Sandbox


@lru_cache(maxsize=4)
def checked(
    path: Path, stamp: int, skip_bad: int, shown: int, conflicts: str, limits: Limits
) -> tuple[Sequence[Problem], Counts]:
    """The problems of a file whose tests tell right from wrong, and the counts of its rows.

    Raises:
        UserError: more than `skip_bad` rows cannot be read, or have tests that do not.
    """
    found, counts = read(path, skip_bad, shown, conflicts)
    sandbox, kept = shared(limits), list[Problem]()
    with ThreadPoolExecutor(sandbox.workers) as threads:
        for problem, reason in zip(found, threads.map(lambda one: _wrong(sandbox, one), found), strict=True):
            counts.add("skipped", problem.line, bool(reason))
            if reason and counts["skipped"] > skip_bad:
                raise DataError(
                    f"{path}:{problem.line}: {reason}. Correct the row, or allow more with task.code.skip_bad="
                    f"{counts['skipped']}"
                )
            if not reason:
                kept.append(problem)
    if not kept:
        raise DataError(f"task.code.path: {path} has no problem with tests that its own solution passes")
    return kept, counts


def _wrong(sandbox: Sandbox, problem: Problem) -> str:
    """What is wrong with the tests of a problem; "" if nothing is."""
    checks = problem.checks
    if problem.solution is not None:
        found = grade(sandbox, problem.solution, checks)
        if found.status != "ok":
            why = f"{found.status}, {sum(found.passed)} of {len(found.passed)} pass"
            return f"the row's own solution fails its tests ({why})"
    if checks.assertions and grade(sandbox, _empty(checks.function), checks).status == "ok":
        return "a function without a body passes the tests"
    return ""


def _empty(function: str) -> str:
    """A program whose function does nothing."""
    *owner, name = function.split(".")
    line = f"def {name}(*arguments, **named):\n    pass\n"
    return "".join(f"class {part}:\n" for part in owner) + ("    " + line.replace("\n", "\n    ") if owner else line)
