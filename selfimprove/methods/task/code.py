"""Programming problems from your own file: the program in a completion runs on tests in a sandbox.

Idea: tests are a reference that every right program passes, however it is written.
Survey: static curation, section 2.2; environment interaction, section 2.3.
Paper: none; the forms of rows are those of MBPP, HumanEval and LiveCodeBench.
Algorithm:
  1. Read the file; `problems/code_rows.py` lists the forms of rows. The key of a row is the canonical text of its
     problem; the sha256 of the key decides the split.
  2. Run each row's own solution. A row is bad if the solution fails its tests, or if a function without a body passes
     them.
  3. The program of a completion is found by `problems/program_text.py`: the last block that defines the function that
     is asked for, outside of thoughts; later usage, tests and output do not count.
  4. With `turns` above 1 a problem is an environment: after a program that fails some of the first `public` tests, the
     model sees their actual and expected results and may write another one. The last program counts.
  5. It is right if it passes all tests. Values of calls are compared outside the sandbox, output line by line, by the
     rule of the row's bench (`safety/sandbox/rules.py`); assertions run in a second jail, see `grading.py` there.
Differs: the row's bench decides what is equal, as its own code does: Python's == for the assertions of MBPP and
  HumanEval; a tuple for a list, equal decimal numbers in lines, and its imports for LiveCodeBench. Rows in our own form
  compare with types: 2.0 is not 2. HumanEval completes the text of a function; here the whole program or the body. The
  published extractors take the last or the first block whatever it holds; here it must define what is asked for.
  A function of another process cannot return or take what is not plain data.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from selfimprove.bounds import bounded
from selfimprove.episodes import Episode, Tool
from selfimprove.errors import DataError
from selfimprove.interfaces import REQUIRED, Roles, Task
from selfimprove.problems import answers
from selfimprove.problems.checked_rows import checked
from selfimprove.problems.code_rows import checks_of, problem_of, reference
from selfimprove.problems.problem_set import EnglishRoles, Loaded, ProblemSet, led
from selfimprove.problems.program_talk import ProgramTalk, PublicTests
from selfimprove.problems.program_text import program_of
from selfimprove.problems.room import scaled
from selfimprove.problems.splits import folded
from selfimprove.records import Message, Prompt
from selfimprove.registry import register
from selfimprove.safety.sandbox.grading import Checks, grade, loads
from selfimprove.safety.sandbox.jail_process import Limits
from selfimprove.safety.sandbox.open import shared
from selfimprove.text import beside


@register("code")
@dataclass
class CodeTask(Task):
    marking: ClassVar[int | None] = answers.VERSION
    path: str = REQUIRED
    """The file, with one JSON object on each line."""
    system_prompt: str | None = "Solve the problem in Python. End with the whole program in one ```python block."
    """A system message before each problem."""
    shown: int = bounded(1, 0)
    """Assertions to show in the prompt of a row in MBPP's form, where nothing else names the function."""
    cpu_seconds: int = bounded(2, 1)
    """CPU time of a program in seconds; the limit of wall time is twice as long."""
    memory_mb: int = bounded(512, 128)
    """Memory of a program in MB."""
    turns: int = bounded(1, 1, 16)
    """Most programs per problem; after each one except the last the model sees which public tests fail."""
    public: int = bounded(1, 1)
    """With `turns` above 1 or a `test_tool`, public tests per problem, whose outcomes the model sees; one or more stay
    private."""
    test_tool: bool = False
    """Give methods such as self_debug a tool `tests`, which runs a program on the public tests."""
    skip_bad: int = bounded(0, 0)
    """Rows that may be skipped because they cannot be read or their own solution fails; one more is an error."""
    conflicts: str = "leave_out"
    """What becomes of rows that give one problem different tests: `leave_out` all of them, or `keep` all."""
    overlap: str = "leave_out"
    """What becomes of training data with twelve words in a row of a held-out problem: `leave_out`, or `keep`."""

    def __post_init__(self) -> None:
        self._set = ProblemSet(self._load, "task.code", self.conflicts, self.overlap)

    def problems(self, split: str, n: int | None, seed: int, part: tuple[int, int] = (0, 1)) -> list[Prompt]:
        return self._set.problems(split, n, seed, part)

    def size(self, split: str) -> int | None:
        return scaled(len(self.problems(split, None, 0)))

    def preflight(self) -> list[str]:
        return self._set.preflight(self.path)

    def notes(self) -> list[str]:
        return self._set.notes()

    def overlap_left_out(self) -> bool:
        return self.overlap == "leave_out"

    def verify(self, prompt: Prompt, text: str) -> float | None:
        checks = checks_of(prompt.answer)
        if checks is None:
            return None
        if text == prompt.answer and program_of(text) is None:
            return 1.0  # the reference of a problem without a solution is its tests
        program = program_of(text, checks)
        return float(program is not None and grade(shared(self._limits()), program, checks, whole=False).status == "ok")

    def problem_of(self, row: Mapping[str, Any]) -> Prompt:
        if not isinstance(row.get("row"), dict):
            raise DataError("no column 'row' with a row as in the task's own data, and no 'name' of one")
        problem = problem_of(row["row"], self.shown)
        asked: list[Message] = [{"role": "user", "content": problem.text}]
        return Prompt(prompt=asked, answer=reference(problem.solution, problem.checks), key=folded(problem.text))

    def reading(self, prompt: Prompt, text: str) -> tuple[str | None, str]:
        """The program, and the first test that it fails."""
        checks = checks_of(prompt.answer)
        program = program_of(text, checks)
        if checks is None or program is None:
            return program, ""
        found = grade(shared(self._limits()), program, checks)
        failed = [told for told, passed in zip(found.told, found.passed, strict=True) if not passed]
        return program, " ".join([*([] if found.status in ("ok", "wrong") else [f"{found.status}."]), *failed[:1]])

    def open(self, problem: Prompt) -> Episode:
        checks = checks_of(problem.answer)
        if self.turns == 1 or checks is None or len(checks) < 2:
            return super().open(problem)
        return ProgramTalk(problem, checks, len(self._public(checks)), self.turns, self._limits())

    def tools(self, problem: Prompt) -> Mapping[str, Tool]:
        known = problem.given.get("tests")
        return {"tests": PublicTests(loads(known), self._limits())} if known else {}

    def offers(self) -> Collection[str]:
        return ["tests"] if self.test_tool else []

    def replies(self) -> int:
        return self.turns

    def answer_of(self, text: str) -> str | None:
        program = program_of(text)
        return "\n".join(line.rstrip() for line in program.splitlines() if line.strip()) if program else None

    def roles(self) -> Roles:
        return _Roles(self.system_prompt, lambda: self.problems("train", 3, 0))

    def _public(self, checks: Checks) -> Checks:
        """The tests whose outcomes may be told."""
        return checks.part(0, min(self.public, len(checks) - 1))

    def _limits(self) -> Limits:
        return Limits(cpu_seconds=self.cpu_seconds, memory=self.memory_mb << 20)

    def _load(self) -> Loaded:
        path = Path(self.path).expanduser().resolve()
        stamp = path.stat().st_mtime_ns if path.is_file() else 0
        found, counts = checked(path, stamp, self.skip_bad, self.shown, self.conflicts, self._limits())
        problems = [
            Prompt(
                prompt=led(self.system_prompt, [{"role": "user", "content": problem.text}]),
                answer=reference(problem.solution, problem.checks),
                key=problem.key,
                given={"tests": self._public(problem.checks).dumps()} if self.test_tool else {},
                info={"line": problem.line},
            )
            for problem in found
        ]
        return Loaded(problems, counts, "line")


class _Roles(EnglishRoles):
    """The prompts of the other tasks with data, with a program instead of an answer in the hint."""

    def hint(self, prompt: Prompt, answer: str) -> list[Message]:
        """The problem with a right program, to be explained."""
        text = beside(__name__, "code_hint.txt")
        problem, program = prompt.prompt[-1]["content"], program_of(answer, checks_of(answer)) or answer
        return self._led(prompt, [{"role": "user", "content": text.format(problem=problem, answer=program)}])

    def solution(self, prompt: Prompt) -> str | None:
        """The row's own program."""
        program = program_of(prompt.answer or "", checks_of(prompt.answer))
        return f"```python\n{program}\n```" if program else None
