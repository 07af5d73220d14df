"""Instructions that no rule can mark, for loops with a judge.

Idea: most requests have no reference answer; a judge's judgement replaces it.
Survey: static curation, section 2.2; model judges, section 4.3.2.
Paper: none; the data are of the kind that arXiv:2401.10020 (Self-Rewarding Language Models) starts from.
Algorithm:
  1. Load the table with `datasets`, in any of the forms of the task hub. The reference reply is stored in `info`, for
     methods that learn from worked solutions, and never used for marking.
  2. `verify` returns None: completions cannot be marked. Training needs a reward that judges; a run also needs an
     evaluation that gives scores without marks: `win_rate`.
Differs: the paper's seeds come from Open Assistant; these are from databricks-dolly-15k, whose license allows any use.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from selfimprove.interfaces import Roles
from selfimprove.problems.hub_rows import columns
from selfimprove.problems.problem_set import EnglishRoles, Loaded, ProblemSet, Published, published
from selfimprove.problems.rows import unread
from selfimprove.records import Prompt
from selfimprove.registry import register


@register("open_instructions")
@dataclass
class OpenInstructions(Published):
    path: str = "databricks/databricks-dolly-15k"
    """Hub id, or a local file or folder: conversations, instruction and response, or prompt and completion."""

    def __post_init__(self) -> None:
        self._set = ProblemSet(self._load, "task.open_instructions", self.conflicts, self.overlap)

    def problems(self, split: str, n: int | None, seed: int, part: tuple[int, int] = (0, 1)) -> list[Prompt]:
        return self._set.problems(split, n, seed, part)

    def preflight(self) -> list[str]:
        return self._set.preflight(self.path)

    def notes(self) -> list[str]:
        return self._set.notes()

    def verify(self, prompt: Prompt, text: str) -> float | None:
        return None

    def answer_of(self, text: str) -> str | None:
        return None

    def roles(self) -> Roles:
        return EnglishRoles(self.system_prompt, lambda: self.problems("train", 3, 0))

    def _load(self) -> Loaded:
        loaded = published(self, columns(None, None), same=unread)
        unmarked = [replace(p, answer=None, info={**p.info, "solution": p.answer}) for p in loaded.problems]
        return replace(loaded, problems=unmarked)
