"""Problems of a data set that the library `datasets` can read: a hub id, a folder, or one file of a table.

Idea: most published problems and instructions are tables on the hub; naming the columns makes a table a task.
Survey: static curation, section 2.2.
Paper: none.
Algorithm:
  1. Load the split on first use: JSON lines, CSV, Parquet or Arrow; never code that comes with the data.
  2. Find prompt and answer: the named columns, else a conversation (`messages`, or `conversations` with from and
     value), instruction, input and output, prompt and completion, question and answer, problem and solution. The answer
     of a conversation is its last reply.
  3. The key is the folded text of the prompt; its sha256 decides the split. Rows that repeat or contradict each other
     are treated as in the task jsonl. The data set's own splits only decide what is loaded.
  4. Answers are compared as in the task jsonl: `exact`, `choice` or `math`.
Differs: nothing to compare with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from selfimprove.episodes import Tool
from selfimprove.interfaces import REQUIRED, Roles
from selfimprove.problems import answers, interpreter
from selfimprove.problems.hub_rows import columns
from selfimprove.problems.problem_set import EnglishRoles, Loaded, ProblemSet, Published, published
from selfimprove.records import Prompt
from selfimprove.registry import register


@register("hub")
@dataclass
class Hub(Published):
    path: str = REQUIRED
    """Hub id such as openai/gsm8k, a local folder, or a local file (.jsonl, .csv, .parquet, ...)."""
    split: str = "train"
    """Split to load, in the library's syntax: `train`, `train+test`, `train[:5000]`; a file is loaded whole."""
    prompt_column: str | None = None
    """Column with the problem, a text or a conversation; null detects it."""
    answer_column: str | None = None
    """Column with the reference answer, which may be a worked solution; null detects it."""
    verifier: str = "exact"
    """How answers are compared: `exact`, `choice` (letters A to J) or `math` (as expressions)."""

    def __post_init__(self) -> None:
        answers.check(self.verifier, "task.hub.verifier")
        self._set = ProblemSet(self._load, "task.hub", self.conflicts, self.overlap)

    def problems(self, split: str, n: int | None, seed: int, part: tuple[int, int] = (0, 1)) -> list[Prompt]:
        return self._set.problems(split, n, seed, part)

    def preflight(self) -> list[str]:
        return self._set.preflight(self.path)

    def notes(self) -> list[str]:
        return self._set.notes()

    def verify(self, prompt: Prompt, text: str) -> float | None:
        return answers.mark(self.verifier, prompt.answer, text)

    def answer_of(self, text: str) -> str | None:
        return answers.answer_of(self.verifier, text)

    def tools(self, problem: Prompt) -> Mapping[str, Tool]:
        return interpreter.tools()

    def roles(self) -> Roles:
        return EnglishRoles(self.system_prompt, lambda: self.problems("train", 3, 0))

    def _load(self) -> Loaded:
        return published(self, columns(self.prompt_column, self.answer_column, marked=True), self.verifier)
