"""Problems from a file of your own: one JSON object per line, with a prompt and a reference answer.

Idea: any data set becomes a task by naming two columns and the rule that compares answers.
Survey: static curation, section 2.2.
Paper: none.
Algorithm:
  1. Read the file once, when problems are first asked for. The key of a row is the canonical text of its prompt; a row
     whose key was there before is dropped; the sha256 of the key says which split a row is in.
  2. Give the rows of a split in an order that only the seed and the keys decide, cut into disjoint parts.
  3. The final answer is the last \\boxed{}, else what follows ####, else what follows `answer is`, in completions and
     in references (which may be worked solutions). `exact` compares canonical text, `choice` the letters A to J, `math`
     asks math_verify in a process that is ended when it takes too long, which counts as wrong.
Differs: nothing to compare with.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from selfimprove import splits
from selfimprove.errors import DataError, RecipeError
from selfimprove.interfaces import REQUIRED, Roles, Task
from selfimprove.jsonl_rows import read
from selfimprove.math_worker import LONGEST, ask
from selfimprove.records import Message, Prompt, digest
from selfimprove.registry import nearest, register
from selfimprove.text import SPLITS, canonical, choice, final_answer, split_of, verdict

VERIFIERS = ("exact", "choice", "math")


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
    """A system message in front of each problem, for example how to state the final answer."""
    skip_bad: int = 0
    """Rows that may be skipped because they cannot be read; one more is an error."""

    def __post_init__(self) -> None:
        if self.verifier not in VERIFIERS:
            raise RecipeError(f"task.jsonl.verifier cannot be {self.verifier!r}.{nearest(self.verifier, VERIFIERS)}")
        if self.skip_bad < 0:
            raise RecipeError(f"task.jsonl.skip_bad is {self.skip_bad}; it must be at least 0")
        self.counts: dict[str, int] = {}
        """Rows read, skipped and dropped as duplicates, once the file was read."""
        self._splits: dict[str, list[Prompt]] = {}

    def problems(self, split: str, n: int | None, seed: int, part: tuple[int, int] = (0, 1)) -> list[Prompt]:
        splits.check(split)
        if not self._splits:
            everything = self._load()
            self._splits = {name: [p for p in everything if split_of(p.key) == name] for name in SPLITS}
        rows, (i, k) = sorted(self._splits[split], key=lambda row: digest([seed, row.key])), part
        return rows[len(rows) * i // k : len(rows) * (i + 1) // k][:n]

    def verify(self, prompt: Prompt, text: str) -> float | None:
        gold = self._gold(prompt.answer)
        if gold is None:
            return None
        if self.verifier == "math":
            same = self.answer_of(text) == ask("parse", gold)
            return float(same or ask("equal", gold, final_answer(text) or text.strip()[-LONGEST:]) is True)
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
        final = _final(answer or "")
        if self.verifier == "choice":
            letter = re.fullmatch(r"\(?([A-J])\)?[.:]?", final.upper())
            return letter[1] if letter else None
        if self.verifier == "math":
            return final if ask("parse", final) is not None else None
        return canonical(final) or None

    def _load(self) -> list[Prompt]:
        """All problems of the file.

        Raises:
            MissingError: there is no such file.
            DataError: it cannot be read, or the verifier cannot read more than a tenth of its answers.
        """
        path = Path(self.path).expanduser().resolve()
        rows, self.counts = read(path, self.prompt_column, self.answer_column, self.skip_bad)
        asked = rows[:: max(1, len(rows) // 200)] if self.verifier == "math" else rows  # math takes milliseconds each
        bad = [row for row in asked if self._gold(row.answer) is None]
        if len(bad) * 10 > len(asked):
            raise DataError(
                f"{path}:{bad[0].line}: the verifier {self.verifier!r} cannot read {len(bad)} of {len(asked)} answers, "
                f"for example {str(bad[0].answer)[:80]!r}"
            )
        return [
            Prompt(
                prompt=_led(self.system_prompt, row.messages), answer=row.answer, key=row.key, info={"line": row.line}
            )
            for row in rows
        ]


@dataclass
class _Roles:
    """Short English instructions for a model that follows instructions; the texts lie beside this file."""

    system_prompt: str | None
    examples: Callable[[], list[Prompt]]

    def solve(self, problem: str) -> list[Message]:
        return _led(self.system_prompt, [{"role": "user", "content": problem}])

    def hint(self, prompt: Prompt, answer: str) -> list[Message]:
        return _led(self.system_prompt, _words("hint", problem=_problem(prompt), answer=_final(answer)))

    def propose(self, level: int | None) -> list[Message]:
        examples = [f"<example>\n{_problem(prompt)}\n</example>" for prompt in self.examples()]
        dial = "" if level is None else f" Make it of difficulty {level}, where 1 is the easiest and 10 the hardest."
        return _words("propose", examples="\n\n".join(examples), level=dial)

    def judge(self, prompt: Prompt, attempt: str) -> list[Message]:
        return _words("judge", problem=_problem(prompt), attempt=attempt)

    def refine(self, prompt: Prompt, attempt: str) -> list[Message]:
        return _led(self.system_prompt, _words("refine", problem=_problem(prompt), attempt=attempt))

    def verdict(self, text: str) -> float | None:
        return verdict(text)

    def read_proposal(self, text: str) -> Prompt | None:
        problem = text.strip()
        return Prompt(prompt=self.solve(problem), key=canonical(problem)) if problem else None

    def solution(self, prompt: Prompt) -> str | None:
        return prompt.answer


def _words(role: str, **parts: str) -> list[Message]:
    text = (files("selfimprove.task") / f"jsonl_{role}.txt").read_text(encoding="utf-8").strip()
    return [{"role": "user", "content": text.format(**parts)}]


def _led(system_prompt: str | None, messages: list[Message]) -> list[Message]:
    """Messages behind the system prompt, unless they bring one of their own."""
    if system_prompt is None or messages[0]["role"] == "system":
        return messages
    return [{"role": "system", "content": system_prompt}, *messages]


def _problem(prompt: Prompt) -> str:
    """The text of a problem as it is quoted to a model; a conversation keeps its speakers."""
    messages = [message for message in prompt.prompt if message["role"] != "system"]
    if len(messages) == 1:
        return messages[0]["content"]
    return "\n".join(f"{message['role']}: {message['content']}" for message in messages)


def _final(answer: str) -> str:
    return (final_answer(answer) or answer).strip()
