"""Problems from your own file: one JSON object per line, with a prompt and a reference answer.

Idea: naming two columns and the rule that compares answers makes any data set a task.
Survey: static curation, section 2.2.
Paper: none.
Algorithm:
  1. Read the file once, on first use. A row that repeats another one's prompt and answer is dropped; rows that give one
     prompt different answers are left out, or kept, and counted. The sha256 of the prompt's folded text decides the
     split, so problems that differ only in case, spaces or the form of a letter share it.
  2. Return the rows of a split in an order that depends only on the seed and the keys, divided into disjoint parts.
  3. The final answer is what a completion, or a reference, states last: in a box, after ####, or in words; see
     docs/marking.md. `exact` compares a normal form of text, `choice` the letters A to J, `math` numbers, sets and
     expressions in separate processes; a comparison that takes too long counts as wrong.
Differs: nothing to compare with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from selfimprove.bounds import bounded
from selfimprove.episodes import Tool
from selfimprove.errors import DataError
from selfimprove.interfaces import REQUIRED, Roles, Task
from selfimprove.problems import answers, interpreter
from selfimprove.problems.cells import Written, messages_of, pick, reference_of
from selfimprove.problems.jsonl_rows import check_link, lines, values_of
from selfimprove.problems.problem_set import EnglishRoles, Loaded, ProblemSet, check_answers, led, same_under
from selfimprove.problems.room import scaled
from selfimprove.problems.rows import gathered, told
from selfimprove.problems.splits import SPLITS
from selfimprove.records import Message, Prompt
from selfimprove.registry import register


@register("jsonl")
@dataclass
class JsonlTask(Task):
    marking: ClassVar[int | None] = answers.VERSION
    path: str = REQUIRED
    """The file."""
    prompt_column: str = "prompt"
    """Column with the problem: a text, or a list of {role, content} messages."""
    answer_column: str = "answer"
    """Column with the reference answer, which may be a worked solution that ends in `#### 42` or \\boxed{42}."""
    verifier: str = "exact"
    """How answers are compared: `exact`, `choice` (letters A to J) or `math` (as expressions)."""
    system_prompt: str | None = None
    """A system message before each problem, for example how to state the final answer."""
    skip_bad: int = bounded(0, 0)
    """Rows that may be skipped because they cannot be read; one more is an error."""
    conflicts: str = "leave_out"
    """What becomes of rows that give one problem different answers: `leave_out` all of them, or `keep` all."""
    overlap: str = "leave_out"
    """What becomes of training data with twelve words in a row of a held-out problem: `leave_out`, or `keep`."""

    def __post_init__(self) -> None:
        answers.check(self.verifier, "task.jsonl.verifier")
        self._set = ProblemSet(self._load, "task.jsonl", self.conflicts, self.overlap)

    @property
    def counts(self) -> dict[str, int]:
        """What was counted while the file was read; empty until then."""
        return self._set.counts

    def problems(self, split: str, n: int | None, seed: int, part: tuple[int, int] = (0, 1)) -> list[Prompt]:
        return self._set.problems(split, n, seed, part)

    def size(self, split: str) -> int | None:
        return scaled(len(self.problems(split, None, 0)))

    def overlap_left_out(self) -> bool:
        return self.overlap == "leave_out"

    def verify(self, prompt: Prompt, text: str) -> float | None:
        return answers.mark(self.verifier, prompt.answer, text)

    def answer_of(self, text: str) -> str | None:
        return answers.answer_of(self.verifier, text)

    def notes(self) -> list[str]:
        return self._set.notes()

    def preflight(self) -> list[str]:
        said = self._set.preflight(self.path)
        sizes = ", ".join(f"{len(self.problems(split, None, 0))} {split}" for split in SPLITS)
        return [f"{self.path}: {sizes}", *said]

    def tools(self, problem: Prompt) -> Mapping[str, Tool]:
        return interpreter.tools()

    def roles(self) -> Roles:
        return EnglishRoles(self.system_prompt, lambda: self.problems("train", 3, 0))

    def _load(self) -> Loaded:
        """All problems of the file.

        Raises:
            MissingError: there is no such file.
            DataError: it cannot be read, or the verifier cannot read more than a tenth of its answers.
        """
        named = Path(self.path).expanduser()
        check_link(named, "task.jsonl.path")
        path = named.resolve()
        rows, counts = gathered(
            lines(path, "task.jsonl.path"),
            self._row,
            lambda line: f"{path}:{line}",
            skip_bad=self.skip_bad,
            skip_option="task.jsonl.skip_bad",
            same=same_under(self.verifier),
            conflicts=self.conflicts,
        )
        if not rows:
            raise DataError("; ".join([f"task.jsonl.path: {path} has no rows", *told(counts, self.conflicts)]))
        check_answers(self.verifier, rows, lambda line: f"{path}:{line}")
        problems = [
            Prompt(
                prompt=led(self.system_prompt, row.messages), answer=row.answer, key=row.key, info={"line": row.line}
            )
            for row in rows
        ]
        return Loaded(problems, counts, "line")

    def _row(self, line: bytes) -> tuple[list[Message], str | None]:
        values = values_of(line, Written)
        asked, answer = pick(values, self.prompt_column), pick(values, self.answer_column)
        return messages_of(asked, self.prompt_column), reference_of(answer, self.answer_column)
