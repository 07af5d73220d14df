"""Rows of data as problems: which are the same, which contradict each other, and how many were left out. Not a method.

Two rows are one problem if their messages are equal letter for letter, apart from space at the ends of lines, blank
lines around a message, and the way an accent is encoded. Problems that differ only in case, in spaces or in the form of
a letter (2³ and 23, mW and MW, the indentation of a program) stay different and share a split. Rows that give one
problem different answers contradict each other: all are left out, or one for each answer is kept, and both is reported.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from selfimprove.errors import DataError, RecipeError
from selfimprove.problems.cells import clean, dirty
from selfimprove.problems.splits import APART, folded
from selfimprove.records import Message, digest

VERSION = 2
"""Version of the rules by which files become problems. It changes whenever the same file gives other problems."""
WAYS = ("leave_out", "keep")
"""What becomes of rows that give one problem different answers, and of problems that overlap with held-out ones."""
MANY = 50
"""Answers of one problem that another one is compared with."""
COUNTED = {
    "skipped": "{n} rows skipped, because they cannot be read or used",
    "duplicates": "{n} duplicates dropped: rows that repeat a problem with the same answer",
    "conflicting": "{n} rows with another answer to a problem than a row before; all rows of it were {kept}",
    "alike": "{n} problems differ from another one only in case, spaces or the form of a letter; they share its split",
    "cleaned": "{n} rows with control characters, which were removed",
    "blank": "{n} problems without an answer, which are never marked",
    "unchecked": "{n} prompts left out, because no check exists for an instruction of theirs",
}
"""What a loader counts -> how it says so."""


class Counts(Counter[str]):
    """How many rows there were of each kind in COUNTED, and which was the first of a kind."""

    def __init__(self) -> None:
        """Count nothing yet."""
        super().__init__()
        self.first: dict[str, int] = {}

    def add(self, name: str, number: int, n: int = 1) -> None:
        """Count n rows, the first of which has this number."""
        if n:
            self[name] += n
            self.first[name] = min(number, self.first.get(name, number))


_ENDS = re.compile(r"[^\S\n]+(?=\n|$)")

Reader = Callable[[dict[str, Any]], tuple[list[Message], str | None]]
"""Turns a row into a prompt and its reference answer; raises DataError for a row that it cannot read."""
Given = TypeVar("Given")
Same = Callable[[str, str], bool]
"""Whether two references are the same answer."""


@dataclass(frozen=True)
class Row:
    """One problem of the data."""

    line: int
    messages: list[Message]
    answer: str | None
    key: str = ""
    """The folded text of all messages; behind APART what tells it apart from other rows with that text."""


def equal(one: str, other: str) -> bool:
    """The comparison of references that no rule marks: as they are written."""
    return one.strip() == other.strip()


def unread(one: str, other: str) -> bool:
    """The comparison of references that nobody marks by: none contradicts another."""
    return True


def check_ways(option: str, **given: str) -> None:
    """Refuse an option that is not one of WAYS.

    Raises:
        RecipeError: the message lists the ways.
    """
    for name, value in given.items():
        if value not in WAYS:
            raise RecipeError(f"{option}.{name} is {value!r}; it must be {' or '.join(WAYS)}")


def gathered(
    rows: Iterable[tuple[int, Given | DataError]],
    reader: Callable[[Given], tuple[list[Message], str | None]],
    place: Callable[[int], str],
    *,
    skip_bad: int = 0,
    skip_option: str = "",
    same: Same = equal,
    conflicts: str = "leave_out",
) -> tuple[list[Row], Counts]:
    """The problems of rows with their numbers, in their order, and the counts of COUNTED besides `rows`.

    Args:
        place: names a row by its number, for messages.
        skip_bad: most rows that may be skipped because they cannot be read.
        skip_option: the option that allows more.
        conflicts: one of WAYS.

    Raises:
        DataError: more than `skip_bad` rows cannot be read.
    """
    counts = Counts()
    found: dict[str, list[Row]] = defaultdict(list)
    for number, values in rows:
        counts["rows"] += 1
        try:
            if isinstance(values, DataError):
                raise values
            messages, answer = reader(values)
        except DataError as error:
            counts.add("skipped", number)
            if (n := counts["skipped"]) > skip_bad:
                way = f" (correct the row, or allow {n} with {skip_option}={n})" if skip_option else ""
                raise DataError(f"{place(number)}: {error}{way}") from error
            continue
        said = [answer or "", *(message["content"] for message in messages)]
        counts.add("cleaned", number, any(map(dirty, said)))
        cleaned: list[Message] = [{**message, "content": clean(message["content"])} for message in messages]
        found[_identity(cleaned)].append(Row(number, cleaned, None if answer is None else clean(answer)))
    kept, shared = list[Row](), dict[int, str]()
    for identity, rows_of_one in found.items():
        answers = _answers(rows_of_one, same)
        left_out = len(answers) > 1 and conflicts != "keep"
        repeated = [row.line for row in rows_of_one if row not in answers]
        if len(answers) > 1:
            counts.add("conflicting", answers[1].line, len(answers) - 1)
        if repeated and not left_out:
            counts.add("duplicates", repeated[0], len(repeated))
        kept += [] if left_out else answers
        shared |= {row.line: identity for row in answers}
    for row in kept:
        counts.add("blank", row.line, blank(row.answer))
    keyed, counts["alike"] = _keyed(kept, shared)
    return sorted(keyed, key=lambda row: row.line), counts


def blank(answer: str | None) -> bool:
    """Whether a row gives no reference answer."""
    return answer is None or not answer.strip()


def told(counts: Counts, conflicts: str = "leave_out", option: str = "", unit: str = "row") -> list[str]:
    """What was left out or changed, in words with the first row; nothing if nothing was.

    Args:
        option: the task whose options decide, such as `task.hub`.
        unit: what the numbers of rows count: `row` or `line`.
    """
    kept = "kept" if conflicts == "keep" else f"left out ({option}.conflicts=keep keeps them)"
    return [
        text.format(n=counts[name], kept=kept)
        + (f" (first: {unit} {counts.first[name]})" if name in counts.first else "")
        for name, text in COUNTED.items()
        if counts[name]
    ]


def _identity(messages: list[Message]) -> str:
    """What makes a problem: roles and contents, apart from space at the ends of lines and blank lines around them."""
    said = (
        (message["role"], _ENDS.sub("", unicodedata.normalize("NFC", message["content"])).strip("\n"))
        for message in messages
    )
    return digest([*said])


def _answers(rows: list[Row], same: Same) -> list[Row]:
    """The first row with each different answer of one problem; rows without an answer contradict nobody."""
    different = list[Row]()
    for row in rows:
        if not blank(row.answer) and not any(same(str(other.answer), str(row.answer)) for other in different[:MANY]):
            different.append(row)
    return different or rows[:1]


def _keyed(rows: list[Row], identities: Mapping[int, str]) -> tuple[list[Row], int]:
    """The rows with their keys, and the number of problems whose folded text another problem has too."""
    texts = [folded("\n".join(message["content"] for message in row.messages)) for row in rows]
    sharing: dict[str, list[str]] = defaultdict(list)
    for row, text in zip(rows, texts, strict=True):
        sharing[text].append(identities[row.line])
    keyed = [
        row if len(sharing[text]) == 1 else replace(row, key=f"{APART}{digest([row.messages, row.answer])[:16]}")
        for row, text in zip(rows, texts, strict=True)
    ]
    alike = sum(len(one) for one in sharing.values() if len({*one}) > 1)
    return [replace(row, key=text + row.key) for row, text in zip(keyed, texts, strict=True)], alike
