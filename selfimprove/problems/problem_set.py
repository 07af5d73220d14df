"""For tasks with data: common options, a finite set of problems in splits, and prompts of the roles in English."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from selfimprove.bounds import bounded
from selfimprove.errors import DataError
from selfimprove.interfaces import REQUIRED, Task
from selfimprove.problems import splits
from selfimprove.problems.answers import VERIFIERS, VERSION, check_references, judgement, mark, stated
from selfimprove.problems.hub_rows import Source, is_id, read
from selfimprove.problems.overlap import HeldOut, twins
from selfimprove.problems.proposals import proposal
from selfimprove.problems.room import partly, scaled
from selfimprove.problems.rows import Counts, Reader, Row, Same, blank, check_ways, equal, told
from selfimprove.problems.splits import HELD_OUT, SPLITS, folded, split_of
from selfimprove.records import Message, Prompt, digest
from selfimprove.text import beside, own_system

ROWS = {
    ("openai/gsm8k", "train"): 7473,
    ("openai/gsm8k", "test"): 1319,
    ("HuggingFaceH4/MATH-500", "test"): 500,
    ("AI-MO/aimo-validation-aime", "train"): 90,
    ("google/IFEval", "train"): 541,
    ("TIGER-Lab/MMLU-Pro", "test"): 12032,
    ("TIGER-Lab/MMLU-Pro", "validation"): 70,
    ("databricks/databricks-dolly-15k", "train"): 15011,
    ("cruxeval-org/cruxeval", "test"): 800,
}
"""Rows of published data sets, according to their pages: (hub id, split) -> rows."""


@dataclass
class Published(Task):
    """Base class with the options of tasks whose problems are a table that `datasets` can read.

    A task with another default repeats the field; it inherits the help.
    """

    path: str = REQUIRED
    """Hub id, or a local file or folder."""
    config: str | None = None
    """Configuration on the hub, if there are several."""
    split: str = "train"
    """The split of the data set to load."""
    revision: str | None = None
    """Commit or tag on the hub; a commit pins the problems."""
    system_prompt: str | None = None
    """A system message before each problem that has none."""
    skip_bad: int = bounded(0, 0)
    """Rows that may be skipped because they cannot be read; one more is an error."""
    conflicts: str = "leave_out"
    """What becomes of rows that give one problem different answers: `leave_out` all of them, or `keep` all."""
    overlap: str = "leave_out"
    """What becomes of training data with twelve words in a row of a held-out problem: `leave_out`, or `keep`."""
    marking: ClassVar[int | None] = VERSION
    per_row: ClassVar[int] = 1
    """Most problems made from one row."""

    def size(self, split: str) -> int | None:
        """Number of problems in a split: counted if the data is on disk, else from the table of known sizes."""
        if not is_id(self.path):
            return scaled(len(self.problems(split, None, 0)))
        parts = [ROWS.get((self.path, part)) for part in self.split.split("+")]
        if None in parts:
            return None
        return math.ceil(sum(rows or 0 for rows in parts) * self.per_row * splits.share(split))

    def published(self) -> str:
        """The hub id if the data is not on disk, else ""."""
        return self.path if is_id(self.path) else ""

    def overlap_left_out(self) -> bool:
        """As the option says."""
        return self.overlap == "leave_out"


@dataclass(frozen=True)
class Loaded:
    """The problems of a data set, and what was counted while they were read."""

    problems: Sequence[Prompt]
    counts: Counts = field(default_factory=Counts)
    unit: str = "row"
    """What the numbers of rows count: `row` or `line`."""


class ProblemSet:
    """Problems that are loaded once, on first use; the key of a problem determines its split."""

    def __init__(
        self, load: Callable[[], Loaded], option: str, conflicts: str = "leave_out", overlap: str = "leave_out"
    ) -> None:
        """Load nothing yet.

        Args:
            option: the task that the data belongs to, such as `task.hub`.
            conflicts: what the loader does with contradictions, for notes.
            overlap: what becomes of training problems with a run of words of a held-out one: one of WAYS.
        """
        check_ways(option, conflicts=conflicts, overlap=overlap)
        self._load, self._option, self._conflicts, self._overlap = load, option, conflicts, overlap
        self._splits: dict[str, list[Prompt]] = {}
        self._alike: list[tuple[str, str]] = []
        self._told: list[str] = []
        self.counts: dict[str, int] = {}
        """What was counted while the data was read, without zeros; empty until then."""

    def problems(self, split: str, n: int | None, seed: int, part: tuple[int, int] = (0, 1)) -> list[Prompt]:
        """Part i of k of a split, in an order that depends only on the seed and the keys; at most n problems."""
        splits.check(split)
        if not self._splits:
            self._read()
        rows, (i, k) = sorted(self._splits[split], key=lambda row: digest([seed, row.key])), part
        return rows[len(rows) * i // k : len(rows) * (i + 1) // k][:n]

    def _read(self) -> None:
        loaded = self._load()
        found: dict[str, list[Prompt]] = {name: [] for name in SPLITS}
        for problem in loaded.problems:
            found[split_of(problem.key)].append(problem)
        held_out = HeldOut((p for name in HELD_OUT for p in found[name]), found["train"])
        near = {p.key for p, shares in zip(found["train"], held_out.near, strict=True) if shares}
        self._alike = twins(p.key for name in ("train", *HELD_OUT) for p in found[name])
        self._told = told(loaded.counts, self._conflicts, self._option, loaded.unit)
        counts = {**loaded.counts, "overlap": len(near), "twins": len(self._alike)}
        self.counts = {name: number for name, number in counts.items() if number}
        if self._overlap == "leave_out":
            found["train"] = [p for p in found["train"] if p.key not in near]
        self._splits = found

    def notes(self) -> list[str]:
        """What reading the data left out or changed; nothing until it is read."""
        said, overlap = [*self._told], self.counts.get("overlap")
        if overlap:
            way = "kept" if self._overlap == "keep" else f"left out ({self._option}.overlap=keep keeps them)"
            said.append(f"{overlap} training problems share twelve words in a row with a held-out problem: {way}")
        if self._alike:
            said.append(f"{len(self._alike)} held-out problems worded like a training problem")
        return said

    def preflight(self, path: str) -> list[str]:
        """Read local data before a run begins, and say what was left out; data on the hub is read by the run.

        Raises:
            UserError: the data cannot be read, repeats itself, or a split that a run needs is empty.
        """
        if is_id(path):
            return []
        sizes = {split: len(self.problems(split, None, 0)) for split in SPLITS}
        if not all(size for split, size in sizes.items() if split != "audit") and not partly():
            parts = ", ".join(f"{size} {split}" for split, size in sizes.items())
            raise DataError(
                f"{self._option}.path: {path} is too small: {'; '.join([parts, *self.notes()])}; a run needs a few "
                "hundred problems in all"
            )
        if len(self._alike) * 10 > (held_out := sum(sizes[split] for split in HELD_OUT)):
            raise DataError(
                f"{self._option}.path: {len(self._alike)} of {held_out} held-out problems of {path} are worded like a "
                f"training problem, for example {self._alike[0][0][:80]!r}; scores on them would be meaningless. "
                "Remove the repetitions"
            )
        return [f"{path}: {note}" for note in (*partly(), *self.notes())]


@dataclass
class EnglishRoles:
    """Short English prompts for an instruction-tuned model; the texts are in files beside this one."""

    system_prompt: str | None
    examples: Callable[[], list[Prompt]]
    """A few training problems, as examples for the proposer."""

    def solve(self, problem: str) -> list[Message]:
        """The problem after the system prompt."""
        return led(self.system_prompt, [{"role": "user", "content": problem}])

    def hint(self, prompt: Prompt, answer: str) -> list[Message]:
        """A request to explain the final answer of a problem."""
        return self._led(prompt, _words("hint", problem=_problem(prompt), answer=stated(answer)))

    def propose(self, level: int | None) -> list[Message]:
        """A request for a new problem like the examples."""
        examples = [f"<example>\n{_problem(prompt)}\n</example>" for prompt in self.examples()]
        dial = "" if level is None else f" Make it of difficulty {level}, where 1 is the easiest and 10 the hardest."
        return _words("propose", examples="\n\n".join(examples), level=dial)

    def judge(self, prompt: Prompt, attempt: str) -> list[Message]:
        """A request to judge an attempt, after the system message of its row, if that has one of its own."""
        asked = _words("judge", problem=_problem(prompt), attempt=attempt)
        return [*own_system(prompt.prompt, self.solve("")), *asked]

    def refine(self, prompt: Prompt, attempt: str) -> list[Message]:
        """A request to correct an attempt."""
        return self._led(prompt, _words("refine", problem=_problem(prompt), attempt=attempt))

    def words(self, role: str, prompt: Prompt, parts: Sequence[str]) -> list[Message] | None:
        """None: a method's own English text serves these tasks."""
        return None

    def _led(self, prompt: Prompt, asked: list[Message]) -> list[Message]:
        """A request after the system message of the problem's row, else after the system prompt."""
        return led(self.system_prompt, [*own_system(prompt.prompt, self.solve("")), *asked])

    def read_judgement(self, text: str) -> float | None:
        """The judgement in a reply to `judge`."""
        return judgement(text)

    def read_proposal(self, text: str) -> Prompt | None:
        """The proposal as a problem, without a reference answer."""
        problem = proposal(text)
        return None if problem is None else Prompt(prompt=self.solve(problem), key=folded(problem))

    def solution(self, prompt: Prompt) -> str | None:
        """A worked solution if the data has one, else the answer, which may be a worked solution itself."""
        return prompt.info.get("solution") or prompt.answer


def published(task: Published, reader: Reader, rule: str | None = None, same: Same = equal) -> Loaded:
    """The problems of the table that a task's options name.

    Args:
        rule: the rule that marks by the references, and has to be able to read them.
        same: whether two references are the same answer, if no rule marks by them.

    Raises:
        UserError: the table is not available, or too much of it cannot be read.
    """
    source = source_of(task)
    options = {"skip_bad": task.skip_bad, "skip_option": f"{source.option}.skip_bad", "conflicts": task.conflicts}
    rows, counts = read(source, reader, same=same_under(rule) if rule else same, **options)
    if rule:
        check_answers(rule, rows, lambda row: f"{source}, row {row}")
    else:
        counts.pop("blank", None)
    return Loaded(posed_rows(rows, task.system_prompt), counts)


def same_under(rule: str) -> Same:
    """Whether two references are the same answer for a rule that marks."""
    return lambda one, other: equal(one, other) or mark(rule, one, other) == 1.0


def check_answers(rule: str, rows: Sequence[Row], place: Callable[[int], str]) -> None:
    """Check that most rows have a reference answer which the rule can read.

    Raises:
        DataError: more than a tenth have none, or one that cannot be read; the message names the first.
    """
    empty = [row for row in rows if blank(row.answer)]
    if len(empty) * 10 > len(rows):
        raise DataError(
            f"{place(empty[0].line)}: {len(empty)} of {len(rows)} problems have no reference answer. Fill them in, "
            "remove the rows, or name another column with answer_column"
        )
    if rule in VERIFIERS:
        check_references(rule, [(place(row.line), row.answer) for row in rows])


def source_of(task: Published) -> Source:
    """The table that a task's options name; a task has the name of its file."""
    option = f"task.{type(task).__module__.rpartition('.')[2]}"
    return Source(option, task.path, task.config, task.split, task.revision)


def posed_rows(rows: Sequence[Row], system_prompt: str | None) -> list[Prompt]:
    """The rows of a data set as problems."""
    return [
        Prompt(prompt=led(system_prompt, row.messages), answer=row.answer, key=row.key, info={"row": row.line})
        for row in rows
    ]


def led(system_prompt: str | None, messages: list[Message]) -> list[Message]:
    """Messages after the system prompt, unless they have a system message."""
    if system_prompt is None or messages[0]["role"] == "system":
        return messages
    return [{"role": "system", "content": system_prompt}, *messages]


def worded(role: str, **parts: str) -> str:
    """The English prompt of a role, with its parts filled in."""
    return beside(__name__, f"problem_set_{role}.txt").format(**parts)


def _words(role: str, **parts: str) -> list[Message]:
    return [{"role": "user", "content": worded(role, **parts)}]


def _problem(prompt: Prompt) -> str:
    """The text of a problem to quote to a model; a conversation keeps its roles."""
    messages = [message for message in prompt.prompt if message["role"] != "system"]
    if len(messages) == 1:
        return messages[0]["content"]
    return "\n".join(f"{message['role']}: {message['content']}" for message in messages)
