"""Problems from your own file: one JSON object per line, with a prompt and a reference answer.

Idea: naming two columns and the rule that compares answers makes any data set a task.
Survey: static curation, section 2.2.
Paper: none.
Algorithm:
  1. Read the file once, on first use. The key of a row is the canonical text of its prompt; a row with a known key is
     dropped; the sha256 of the key decides the split.
  2. Return the rows of a split in an order that depends only on the seed and the keys, divided into disjoint parts.
  3. The final answer is what a completion, or a reference, states last: in a box, after ####, or in words; see
     docs/marking.md. `exact` compares a normal form of text, `choice` the letters A to J, `math` numbers, sets and
     expressions in separate processes; a comparison that takes too long counts as wrong.
Differs: nothing to compare with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from selfimprove.bounds import bounded
from selfimprove.errors import DataError
from selfimprove.interfaces import REQUIRED, Roles, Task
from selfimprove.problems import answers
from selfimprove.problems.jsonl_rows import read, twins
from selfimprove.problems.problem_set import EnglishRoles, ProblemSet, led
from selfimprove.problems.splits import SPLITS
from selfimprove.records import Prompt
from selfimprove.registry import register


@register("jsonl")
@dataclass
class JsonlTask(Task):
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

    def __post_init__(self) -> None:
        answers.check(self.verifier, "task.jsonl.verifier")
        self.counts: dict[str, int] = {}
        """Rows read, skipped and dropped as duplicates; available once the file is read."""
        self._set = ProblemSet(self._load)

    def problems(self, split: str, n: int | None, seed: int, part: tuple[int, int] = (0, 1)) -> list[Prompt]:
        return self._set.problems(split, n, seed, part)

    def size(self, split: str) -> int | None:
        return len(self.problems(split, None, 0))

    def verify(self, prompt: Prompt, text: str) -> float | None:
        return answers.mark(self.verifier, prompt.answer, text)

    def answer_of(self, text: str) -> str | None:
        return answers.answer_of(self.verifier, text)

    def preflight(self) -> list[str]:
        sizes = {split: len(self.problems(split, None, 0)) for split in SPLITS}
        total, empty = sum(sizes.values()), [split for split, size in sizes.items() if not size and split != "audit"]
        told = ", ".join(f"{size} {split}" for split, size in sizes.items())
        if empty:
            raise DataError(
                f"task.jsonl.path: {self.path} is too small: {told}; a run needs a few hundred problems in all"
            )
        everything = [prompt for split in SPLITS for prompt in self.problems(split, None, 0)]
        alike = twins(prompt.key for prompt in everything)
        if len(alike) * 10 > total - sizes["train"]:
            raise DataError(
                f"task.jsonl.path: {len(alike)} of {total - sizes['train']} held-out problems of {self.path} are "
                f"worded like a training problem, for example {alike[0][0][:80]!r}; scores on them would be "
                "meaningless. Remove the repetitions"
            )
        counts = {
            "rows skipped": self.counts["skipped"],
            "duplicates dropped": self.counts["duplicates"],
            "rows with control characters, which were removed": self.counts["cleaned"],
            "problems without an answer": sum(prompt.answer is None for prompt in everything),
            "held-out problems worded like a training problem": len(alike),
        }
        return [f"{self.path}: {told}", *(f"{self.path}: {count} {what}" for what, count in counts.items() if count)]

    def roles(self) -> Roles:
        return EnglishRoles(self.system_prompt, lambda: self.problems("train", 3, 0))

    def _load(self) -> Sequence[Prompt]:
        """All problems of the file.

        Raises:
            MissingError: there is no such file.
            DataError: it cannot be read, or the verifier cannot read more than a tenth of its answers.
        """
        path = Path(self.path).expanduser().resolve()
        rows, self.counts = read(path, self.prompt_column, self.answer_column, self.skip_bad)
        answers.check_references(self.verifier, [(f"{path}:{row.line}", row.answer) for row in rows])
        return [
            Prompt(
                prompt=led(self.system_prompt, row.messages), answer=row.answer, key=row.key, info={"line": row.line}
            )
            for row in rows
        ]
