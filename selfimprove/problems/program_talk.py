"""The environment of a programming problem: it runs a program on public tests and reports which of them fail."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from selfimprove.episodes import Episode, Turn
from selfimprove.problems.program_text import program_of
from selfimprove.records import Message, Prompt
from selfimprove.safety.sandbox.grading import Checks, Grade, grade
from selfimprove.safety.sandbox.jail_process import Limits
from selfimprove.safety.sandbox.open import shared

_NO_PROGRAM = "There is no program in that. Write the whole program in one ```python block."
_FAILED = (
    "The program fails {failed} of {all} tests.\n{told}\nCorrect it: write the whole program in one ```python block."
)


@dataclass
class ProgramTalk(Episode):
    """Ends when a program passes the public tests, or after `turns` turns; the mark comes from all tests."""

    problem: Prompt
    checks: Checks
    public: int
    """The number of public tests, the first ones; the writer never sees the others."""
    turns: int
    limits: Limits
    slow: ClassVar[bool] = True

    def __post_init__(self) -> None:
        self._left = self.turns

    def step(self, said: Message | None) -> Turn:
        """First the problem, then the results of the public tests, at the end 1 or 0 for all tests together."""
        if said is None:
            return Turn("solve", self.problem.prompt)
        program, self._left = program_of(said["content"], self.checks) or "", self._left - 1
        found = self._run(program, self.checks.part(0, self.public))
        passed = found.status == "ok"
        noted = {"passed": passed}  # the public tests, by the last program
        if self._left and not passed:
            return Turn("solve", [{"role": "user", "content": _feedback(found, bool(program))}], noted=noted)
        solved = passed and self._run(program, self.checks.part(self.public, len(self.checks))).status == "ok"
        return Turn(None, rewards={"solve": float(solved)}, noted=noted)

    def _run(self, program: str, checks: Checks) -> Grade:
        """A reply without a program; nothing is run."""
        return grade(shared(self.limits), program, checks) if program else Grade((), "error:no program")


def _feedback(found: Grade, program: bool) -> str:
    """The message about a program's failed tests."""
    if not program:
        return _NO_PROGRAM
    failed = [told for told, passed in zip(found.told, found.passed, strict=True) if not passed]
    told = "\n".join([*failed, *([f"It ended with {found.status}. {found.text}"] if found.status != "wrong" else [])])
    return _FAILED.format(failed=len(failed), all=len(found.passed), told=told)
