"""AIME: problems of the American Invitational Mathematics Examination, whose answers are whole numbers below 1000.

Idea: hard problems with answers that are compared exactly.
Survey: static curation, section 2.2.
Paper: none; the problems are a yearly examination of the Mathematical Association of America.
Algorithm:
  1. Load the table with `datasets`; the columns are problem or question, and answer, also capitalized.
  2. The answer is a number, found as in the task gsm8k; leading zeros are ignored: 025 is 25.
Differs: 90 problems in five splits are far too few for a gate; use them to look at a model (`selfimprove eval`), or
  set `path` to more years with the same columns. The wording of the prompt is ours.
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

COLUMNS = ("problem", "question", "Problem", "Question")


@register("aime")
@dataclass
class Aime(Published):
    path: str = "AI-MO/aimo-validation-aime"
    """Hub id (this one has the years 2022 to 2024), or a local file or folder with problem or question, and answer."""
    system_prompt: str | None = "Reason step by step, and put the final answer, a whole number, within \\boxed{}."

    def __post_init__(self) -> None:
        self._set = ProblemSet(lambda: published(self, _row, "aime"), "task.aime", self.conflicts, self.overlap)

    def problems(self, split: str, n: int | None, seed: int, part: tuple[int, int] = (0, 1)) -> list[Prompt]:
        return self._set.problems(split, n, seed, part)

    def preflight(self) -> list[str]:
        return self._set.preflight(self.path)

    def notes(self) -> list[str]:
        return self._set.notes()

    def verify(self, prompt: Prompt, text: str) -> float | None:
        return answers.mark("aime", prompt.answer, text)

    def answer_of(self, text: str) -> str | None:
        return answers.answer_of("aime", text)

    def tools(self, problem: Prompt) -> Mapping[str, Tool]:
        return interpreter.tools()

    def roles(self) -> Roles:
        return EnglishRoles(self.system_prompt, lambda: self.problems("train", 3, 0))


def _row(values: dict[str, Any]) -> tuple[list[Message], str | None]:
    asked = next((name for name in COLUMNS if name in values), COLUMNS[0])
    replied = "Answer" if "Answer" in values else "answer"
    return messages_of(pick(values, asked), asked), reference_of(pick(values, replied), replied)
