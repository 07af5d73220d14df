"""MATH-500: five hundred competition problems of the MATH test set, answers as expressions.

Idea: answers such as 3\\sqrt{2} are compared as mathematical expressions.
Survey: static curation, section 2.2.
Paper: arXiv:2305.20050 (Let's Verify Step by Step), Lightman et al., 2023: its test set, of MATH, arXiv:2103.03874.
Algorithm:
  1. Load the table with `datasets`; the sha256 of a problem decides its split.
  2. The answer is what the completion states last, in a box, after #### or in words, else what its last sentence
     asserts; see docs/marking.md. It is right if it equals the reference as a number, set, interval or expression.
Differs: 500 problems in five splits are few: a gate detects large gains only. Set `path` to the 7,500 training problems
  of MATH, which have the same columns, for more. The wording of the prompt is ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from selfimprove.episodes import Tool
from selfimprove.interfaces import Roles
from selfimprove.problems import answers, interpreter
from selfimprove.problems.cells import messages_of, pick, reference_of
from selfimprove.problems.problem_set import EnglishRoles, ProblemSet, Published, published
from selfimprove.records import Message, Prompt
from selfimprove.registry import register


@register("math500", paper="2305.20050")
@dataclass
class Math500(Published):
    path: str = "HuggingFaceH4/MATH-500"
    """Hub id, or a local file or folder with the column problem, and answer or solution (boxed)."""
    split: str = "test"
    system_prompt: str | None = "Reason step by step, and put the final answer within \\boxed{}."

    def __post_init__(self) -> None:
        self._set = ProblemSet(lambda: published(self, _row, "math"), "task.math500", self.conflicts, self.overlap)

    def problems(self, split: str, n: int | None, seed: int, part: tuple[int, int] = (0, 1)) -> list[Prompt]:
        return self._set.problems(split, n, seed, part)

    def preflight(self) -> list[str]:
        return self._set.preflight(self.path)

    def notes(self) -> list[str]:
        return self._set.notes()

    def verify(self, prompt: Prompt, text: str) -> float | None:
        return answers.mark("math500", prompt.answer, text)

    def answer_of(self, text: str) -> str | None:
        return answers.answer_of("math500", text)

    def tools(self, problem: Prompt) -> Mapping[str, Tool]:
        return interpreter.tools()

    def roles(self) -> Roles:
        return EnglishRoles(self.system_prompt, lambda: self.problems("train", 3, 0))


def _row(values: dict[str, Any]) -> tuple[list[Message], str | None]:
    column = "answer" if values.get("answer") else "solution"
    return messages_of(pick(values, "problem"), "problem"), reference_of(pick(values, column), column)
