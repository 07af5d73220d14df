"""GSM8K: grade school word problems with worked solutions that end in a number after ####.

Idea: problems that a small model sometimes solves, with answers that a rule can check.
Survey: static curation, section 2.2.
Paper: arXiv:2110.14168 (Training Verifiers to Solve Math Word Problems), Cobbe et al., 2021.
Algorithm:
  1. Load the table of questions and worked solutions with `datasets`; the sha256 of a question decides its split.
  2. The answer is the number that the completion states last, in a box, after ####, or in words, else what its last
     sentence asserts; see docs/marking.md. Values are compared, so units, separators and spellings do not matter.
Differs: the paper has a training and a test set. Only its training set is loaded and divided into five splits, so that
  its test set remains for other programs; `split: test` loads that instead. The wording of the prompt is ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from selfimprove.episodes import Tool
from selfimprove.interfaces import Roles
from selfimprove.problems import answers, interpreter
from selfimprove.problems.hub_rows import columns
from selfimprove.problems.problem_set import EnglishRoles, ProblemSet, Published, published
from selfimprove.records import Prompt
from selfimprove.registry import register


@register("gsm8k", paper="2110.14168")
@dataclass
class Gsm8k(Published):
    path: str = "openai/gsm8k"
    """Hub id, or a local file or folder with the columns question and answer."""
    config: str | None = "main"
    """Configuration on the hub: main, or socratic with subquestions in the solutions."""
    split: str = "train"
    """Split to load: train (7,473 problems), test (1,319) or train+test."""
    system_prompt: str | None = (
        "Solve the problem step by step. On the last line, write #### and then the final number."
    )

    def __post_init__(self) -> None:
        self._set = ProblemSet(
            lambda: published(self, columns("question", "answer"), "gsm8k"), "task.gsm8k", self.conflicts, self.overlap
        )

    def problems(self, split: str, n: int | None, seed: int, part: tuple[int, int] = (0, 1)) -> list[Prompt]:
        return self._set.problems(split, n, seed, part)

    def preflight(self) -> list[str]:
        return self._set.preflight(self.path)

    def notes(self) -> list[str]:
        return self._set.notes()

    def verify(self, prompt: Prompt, text: str) -> float | None:
        return answers.mark("gsm8k", prompt.answer, text)

    def answer_of(self, text: str) -> str | None:
        return answers.answer_of("gsm8k", text)

    def tools(self, problem: Prompt) -> Mapping[str, Tool]:
        return interpreter.tools()

    def roles(self) -> Roles:
        return EnglishRoles(self.system_prompt, lambda: self.problems("train", 3, 0))
