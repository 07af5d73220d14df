"""Run the program in a completion on the problem's tests: reward the share that passes, or all or nothing.

Idea: running a program shows whether it works, so no model has to judge it.
Survey: verifiable rewards, section 4.3.2.
Paper: arXiv:2207.01780 (CodeRL), Le et al., 2022: rewards by what the unit tests say.
Algorithm:
  1. Take the program of each completion: see `problems/program_text.py`. No program gets 0.
  2. Run it on the tests of the problem's reference in the sandbox. A program that reaches its wall-time limit before
     its CPU-time limit runs once more, alone, unless it slept. A program that has run out of its time fails the tests
     that follow without being run on them.
  3. The reward is 1 if all tests pass, else 0; with `mode: fraction` it is the share that passes. None if the reference
     has no tests or is missing.
  4. Report the outcomes of the programs as shares: `outcome/ok`, `outcome/wrong`, `outcome/timeout`, ...
Differs: CodeRL gives -1 if a program does not compile, -0.6 if it raises an error, -0.3 if a test fails and 1 if all
  pass; here every failure is 0.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from selfimprove.bounds import bounded
from selfimprove.errors import RecipeError
from selfimprove.interfaces import Context, Reward
from selfimprove.problems.code_rows import checks_of
from selfimprove.problems.program_text import program_of
from selfimprove.records import Rollout
from selfimprove.registry import nearest, register
from selfimprove.safety.sandbox.grading import STATUSES, Checks, Grade, grade
from selfimprove.safety.sandbox.jail_process import Limits
from selfimprove.safety.sandbox.open import shared

MODES = ("all", "fraction")


@register("code_execution", paper="2207.01780")
@dataclass
class CodeExecution(Reward):
    mode: str = "all"
    """`all`: 1 if every test passes; `fraction`: the share of tests that pass."""
    cpu_seconds: int = bounded(2, 1)
    """CPU time of a program in seconds; the limit of wall time is twice as long."""
    memory_mb: int = bounded(512, 128)
    """Memory of a program in MB."""

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise RecipeError(f"reward.code_execution.mode cannot be {self.mode!r}.{nearest(self.mode, MODES)}")

    def rate(self, groups: Sequence[Sequence[Rollout]], context: Context) -> list[list[float | None]]:
        checks = {answer: checks_of(answer) for answer in {r.prompt.answer or "" for group in groups for r in group}}
        work = [
            [(program_of(r.text, checks[answer]) or "", answer) for r in group for answer in [r.prompt.answer or ""]]
            for group in groups
        ]
        wanted = dict.fromkeys(pair for group in work for pair in group if pair[0])
        grades = self._grades([(*pair, found) for pair in wanted if (found := checks[pair[1]]) is not None])
        scores, seen = list[list[float | None]](), Counter[str]()
        for group in work:
            scores.append([])
            for program, answer in group:
                found = grades.get((program, answer), Grade((), "error:no program"))
                scores[-1].append(self._score(found) if checks[answer] else None)
                seen[found.status.partition(":")[0]] += checks[answer] is not None
        for status in STATUSES if seen.total() else ():
            context.log.metric(f"outcome/{status}", seen[status] / seen.total())
        return scores

    def _score(self, found: Grade) -> float:
        return float(found.status == "ok") if self.mode == "all" else found.share

    def _grades(self, work: list[tuple[str, str, Checks]]) -> dict[tuple[str, str], Grade]:
        """The grade of each program on the tests of a reference, as many at a time as there are jails."""
        if not work:
            return {}
        sandbox = shared(Limits(cpu_seconds=self.cpu_seconds, memory=self.memory_mb << 20))
        with ThreadPoolExecutor(sandbox.workers) as threads:
            grades = threads.map(lambda one: grade(sandbox, one[0], one[2], whole=self.mode == "fraction"), work)
            return {(program, answer): found for (program, answer, _), found in zip(work, grades, strict=True)}
