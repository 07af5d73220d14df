"""A programming problem as an environment and a tool: a program runs on public tests, and the failed ones are told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from selfimprove.episodes import Episode, Tool, Turn
from selfimprove.problems.program_text import program_of
from selfimprove.records import Message, Prompt
from selfimprove.safety.sandbox.grading import Checks, Grade, grade
from selfimprove.safety.sandbox.jail_process import Limits
from selfimprove.safety.sandbox.open import shared

PASSED = "passed"
"""What the tool says of a program that passes."""
_NO_PROGRAM = "There is no program in that. Write the whole program in one ```python block."
_FAILED = "The program fails {failed} of {all} tests.\n{told}"
_CORRECT = "\nCorrect it: write the whole program in one ```python block."


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
            told = _told(found) + _CORRECT if program else _NO_PROGRAM
            return Turn("solve", [{"role": "user", "content": told}], noted=noted)
        solved = passed and self._run(program, self.checks.part(self.public, len(self.checks))).status == "ok"
        return Turn(None, rewards={"solve": float(solved)}, noted=noted)

    def _run(self, program: str, checks: Checks) -> Grade:
        """The grade of a program; of a reply without one, nothing is run."""
        return grade(shared(self.limits), program, checks) if program else Grade((), "error:no program")


@dataclass
class PublicTests(Tool):
    """The tool `tests`: runs the program in a text on public tests."""

    checks: Checks
    limits: Limits

    def call(self, text: str) -> str:
        """`passed`, or which tests fail and how."""
        program = program_of(text, self.checks)
        if program is None:
            return _NO_PROGRAM
        found = grade(shared(self.limits), program, self.checks) if len(self.checks) else Grade((), "ok")
        return PASSED if found.status == "ok" else _told(found)


def _told(found: Grade) -> str:
    """Which tests a program fails."""
    failed = [told for told, passed in zip(found.told, found.passed, strict=True) if not passed]
    told = "\n".join([*failed, *([f"It ended with {found.status}. {found.text}"] if found.status != "wrong" else [])])
    return _FAILED.format(failed=len(failed), all=len(found.passed), told=told)
