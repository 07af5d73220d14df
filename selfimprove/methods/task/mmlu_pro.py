"""MMLU-Pro: questions on fourteen subjects with up to ten lettered options.

Idea: knowledge and reasoning beyond mathematics, with an answer that is one letter.
Survey: static curation, section 2.2.
Paper: arXiv:2406.01574 (MMLU-Pro), Wang et al., 2024.
Algorithm:
  1. Load the table with `datasets`; write the options below the question as A to J.
  2. The answer is the letter that the completion states last, in a box, after #### or in words, else the one that its
     last sentence chooses; see docs/marking.md. A letter out of an option's text is none.
Differs: the paper's prompt starts with five worked examples; here there are none, and the wording follows the paper's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from selfimprove.errors import DataError
from selfimprove.interfaces import Roles
from selfimprove.problems import answers
from selfimprove.problems.cells import messages_of, pick, reference_of
from selfimprove.problems.problem_set import EnglishRoles, ProblemSet, Published, published
from selfimprove.records import Message, Prompt
from selfimprove.registry import register

LETTERS = "ABCDEFGHIJ"


@register("mmlu_pro", paper="2406.01574")
@dataclass
class MmluPro(Published):
    path: str = "TIGER-Lab/MMLU-Pro"
    """Hub id, or a local file or folder with the columns question, options and answer."""
    split: str = "test"
    """Split to load: test (12,032 questions) or validation (70)."""
    system_prompt: str | None = "Think step by step, then finish with: the answer is (X), where X is the right letter."

    def __post_init__(self) -> None:
        self._set = ProblemSet(lambda: published(self, _row, "choice"), "task.mmlu_pro", self.conflicts, self.overlap)

    def problems(self, split: str, n: int | None, seed: int, part: tuple[int, int] = (0, 1)) -> list[Prompt]:
        return self._set.problems(split, n, seed, part)

    def preflight(self) -> list[str]:
        return self._set.preflight(self.path)

    def notes(self) -> list[str]:
        return self._set.notes()

    def verify(self, prompt: Prompt, text: str) -> float | None:
        return answers.mark("mmlu_pro", prompt.answer, text)

    def answer_of(self, text: str) -> str | None:
        return answers.answer_of("mmlu_pro", text)

    def roles(self) -> Roles:
        return EnglishRoles(self.system_prompt, lambda: self.problems("train", 3, 0))


def _row(values: dict[str, Any]) -> tuple[list[Message], str | None]:
    options = pick(values, "options")
    if not isinstance(options, list) or not 2 <= len(options) <= len(LETTERS):
        raise DataError(f"'options' must be a list of 2 to {len(LETTERS)} texts, not {str(options)[:80]!r}")
    [asked] = messages_of(pick(values, "question"), "question")[-1:]
    texts = [reference_of(one, "options") for one in options]
    if None in texts:
        raise DataError("'options' holds a null")
    lettered = "\n".join(f"{letter}. {text}" for letter, text in zip(LETTERS, texts, strict=False))
    return [{**asked, "content": f"{asked['content']}\n{lettered}"}], reference_of(pick(values, "answer"), "answer")
