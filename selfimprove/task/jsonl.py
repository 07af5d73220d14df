"""Problems from a file of your own: one JSON object per line, with a prompt and a reference answer.

Idea: any data set becomes a task by naming two columns and the rule that compares answers.
Survey: static curation, section 2.2.
Paper: none.
Algorithm:
  1. Read the file once, when problems are first asked for. The key of a row is the canonical text of its prompt; a row
     whose key was there before is dropped; the sha256 of the key says which split a row is in.
  2. Give the rows of a split in an order that only the seed and the keys decide, cut into disjoint parts.
  3. The final answer is the last \\boxed{}, else what follows ####, else what follows `answer is`, in completions and in
     references (which may be worked solutions). `exact` compares canonical text, `choice` the letters A to J, `math`
     asks math_verify in a process that is ended when it takes too long, which counts as wrong.
Differs: nothing to compare with.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from omegaconf import MISSING

from selfimprove.errors import DataError, MissingError, RecipeError
from selfimprove.interfaces import Roles, Task
from selfimprove.records import Message, Prompt, digest
from selfimprove.registry import nearest, register
from selfimprove.task.math_worker import LONGEST, ask
from selfimprove.text import SPLITS, canonical, choice, final_answer, split_of

VERIFIERS = ("exact", "choice", "math")
LARGEST = 1_000_000
"""Bytes in the longest row."""
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


@register("jsonl")
@dataclass
class JsonlTask(Task):
    path: str = MISSING
    """The file."""
    prompt_column: str = "prompt"
    """Column with the problem: a text, or a list of {role, content} messages."""
    answer_column: str = "answer"
    """Column with the reference answer, which may be a worked solution that ends in `#### 42` or \\boxed{42}."""
    verifier: str = "exact"
    """How answers are compared: `exact`, `choice` (letters A to J) or `math` (as expressions)."""
    system_prompt: str | None = None
    """A system message in front of each problem, for example how to state the final answer."""
    skip_bad: int = 0
    """Rows that may be skipped because they cannot be read; one more is an error."""

    def __post_init__(self) -> None:
        if self.verifier not in VERIFIERS:
            raise RecipeError(f"task.jsonl.verifier cannot be {self.verifier!r}.{nearest(self.verifier, VERIFIERS)}")
        if self.skip_bad < 0:
            raise RecipeError(f"task.jsonl.skip_bad is {self.skip_bad}; it must be at least 0")
        self.counts = {"rows": 0, "skipped": 0, "duplicates": 0}
        self._splits: dict[str, list[Prompt]] = {}

    def problems(self, split: str, n: int | None, seed: int, part: tuple[int, int] = (0, 1)) -> list[Prompt]:
        if not self._splits:
            rows = self._read(Path(self.path).expanduser().resolve())
            self._splits = {name: [row for row in rows if split_of(row.key) == name] for name in SPLITS}
        rows, (i, k) = sorted(self._splits[split], key=lambda row: digest([seed, row.key])), part
        return rows[len(rows) * i // k : len(rows) * (i + 1) // k][:n]

    def verify(self, prompt: Prompt, text: str) -> float | None:
        gold = self._gold(prompt.answer)
        if gold is None:
            return None
        if self.verifier == "math":
            given = final_answer(text) or text.strip()[-LONGEST:]
            return float(canonical(given) == canonical(gold) or ask("equal", gold, given) is True)
        whole = self.verifier == "exact" and final_answer(text) is None and canonical(text) == gold
        return float(whole or self.answer_of(text) == gold)

    def answer_of(self, text: str) -> str | None:
        if self.verifier == "choice":
            return choice(text)
        final = final_answer(text)
        if self.verifier == "math":
            return ask("parse", final or text.strip()[-LONGEST:]) or canonical(final or "") or None
        return canonical(final or (text.strip().splitlines() or [""])[-1]) or None

    def roles(self) -> Roles:
        return _Roles(self.system_prompt, lambda: self.problems("train", 3, 0))

    def _gold(self, answer: str | None) -> str | None:
        """A reference answer as the verifier compares it; None where the verifier cannot read it."""
        final = (final_answer(answer or "") or answer or "").strip()
        if self.verifier == "choice":
            letter = re.fullmatch(r"\(?([A-J])\)?[.:]?", final.upper())
            return letter and letter[1]
        if self.verifier == "math":
            return final if ask("parse", final) is not None else None
        return canonical(final) or None

    def _read(self, path: Path) -> list[Prompt]:
        """The rows of the file without duplicates.

        Raises:
            MissingError: there is no such file.
            DataError: it cannot be read, and where.
        """
        if not path.exists():
            raise MissingError(f"task.jsonl.path: there is no file {path}")
        if not path.is_file():
            raise DataError(f"task.jsonl.path: {path} is not a file; name one with a JSON object per line")
        found: dict[str, Prompt] = {}
        for number, line in _lines(path):
            self.counts["rows"] += 1
            try:
                row = self._row(number, line)
                self.counts["duplicates"] += row.key in found
                found.setdefault(row.key, row)
            except DataError as error:
                self.counts["skipped"] += 1
                if self.counts["skipped"] > self.skip_bad:
                    raise DataError(f"{path}:{number}: {error}") from error
        rows = list(found.values())
        seen = rows[:: max(1, len(rows) // 200)] if self.verifier == "math" else rows  # math takes milliseconds each
        bad = [row for row in seen if self._gold(row.answer) is None]
        if not rows or len(bad) * 10 > len(seen):
            why = "has no rows" if not rows else f"has answers that the verifier {self.verifier!r} cannot read"
            raise DataError(f"{path} {why}" + "".join(f", as in line {row.info['line']}: {str(row.answer)[:80]!r}" for row in bad[:1]))
        return rows

    def _row(self, number: int, line: bytes) -> Prompt:
        try:
            row = json.loads(line.decode("utf-8-sig")) if len(line) <= LARGEST else None
        except UnicodeDecodeError as error:
            raise DataError(f"not UTF-8 text: {error.reason} at byte {error.start} of the line") from error
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            what = "a row of more than 1 MB" if len(line) > LARGEST else "not a JSON object"
            raise DataError(f"{what}: {line[:80].decode(errors='replace')!r}")
        for column in (self.prompt_column, self.answer_column):
            if column not in row:
                raise DataError(f"no column {column!r}.{nearest(column, row)}")
        messages, answer = _messages(row[self.prompt_column]), row[self.answer_column]
        if isinstance(answer, list | dict):
            raise DataError(f"the answer must be a text or a number, not {json.dumps(answer)[:80]}")
        if answer is not None:
            answer = _CONTROL.sub("", answer if isinstance(answer, str) else json.dumps(answer))
        key = canonical("\n".join(message["content"] for message in messages))
        return Prompt(prompt=_system(self.system_prompt, messages), answer=answer, key=key, info={"line": number})


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """The lines of a file that are not blank, with their numbers; a longer one than a row may be is cut."""
    with path.open("rb") as file:
        number = 0
        while line := file.readline(LARGEST + 1):
            number += 1
            if line.strip():
                yield number, line
            while len(line) > LARGEST and not line.endswith(b"\n"):
                ...
