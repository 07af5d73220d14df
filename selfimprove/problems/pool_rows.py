"""What a row of a pool is to a selection: a record, by TRL's columns or by columns that the user names.

| columns | record |
| --- | --- |
| `text` | Document |
| `messages` (or sharegpt's `conversations`) | Rollout: the last message is the completion |
| `prompt` (or none), `chosen`, `rejected` | Preference |
| `prompt` (`instruction` with `input`, `question`, `problem`) and `completion` (`answer`, `response`, ...) | Rollout |
| `prompt` alone | Prompt |

A row's number is in the record's `info`, and its `level` or `difficulty` if it has one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfimprove.errors import DataError
from selfimprove.problems.cells import Written, messages_of, pick, places, reference_of, talk
from selfimprove.problems.jsonl_rows import values_of
from selfimprove.problems.pool_lines import raw
from selfimprove.problems.splits import folded
from selfimprove.records import Document, Message, Preference, Prompt, Record, Rollout

TALKS = ("messages", "conversations", "conversation")
ASKED = ("prompt", "instruction", "question", "problem", "query")
SAID = ("completion", "answer", "response", "output", "solution")
LEVELS = ("level", "difficulty")
"""Columns with the difficulty of a row."""
Made = Callable[[Mapping[str, Any], dict[str, Any]], Record]


@dataclass(frozen=True)
class Columns:
    """Which columns of a pool say what; None where the pool has no such thing."""

    text: str | None = None
    talk: str | None = None
    prompt: str | None = None
    answer: str | None = None
    pair: bool = False
    """Whether there are `chosen` and `rejected`."""

    @property
    def kind(self) -> type[Record]:
        """The kind of record that each row is."""
        if self.text is not None:
            return Document
        if self.pair:
            return Preference
        return Prompt if self.talk is None and self.answer is None else Rollout

    def record(self, line: bytes, number: int) -> Record:
        """The record of a row.

        Args:
            number: of the row in its file, from 0.

        Raises:
            DataError: the row cannot be read; the message does not say where it stands.
        """
        values = values_of(line, Written)
        info: dict[str, Any] = {"row": number}
        if (level := next((values[name] for name in LEVELS if name in values), None)) is not None:
            info["level"] = level if isinstance(level, str | int | float) else str(level)
        if values.get("finish_reason") == "length" or values.get("truncated") is True:
            info["finish_reason"] = "length"
        if self.text is not None:
            return Document(text=_text(values, self.text), info=info)
        if self.pair:
            return self._preference(values, info)
        if self.talk is not None:
            said = messages_of(talk(pick(values, self.talk)), self.talk)
            if said[-1]["role"] != "assistant" or len(said) < 2:
                raise DataError(f"{self.talk!r} does not end with a reply of the assistant")
            return Rollout(prompt=_prompt(said[:-1], info), completion=said[-1:], info=info)
        assert self.prompt is not None
        asked = _asked(values, self.prompt)
        if self.answer is None:
            return _prompt(asked, info)
        return Rollout(prompt=_prompt(asked, info), completion=_said(values, self.answer), info=info)

    def _preference(self, values: Mapping[str, Any], info: dict[str, Any]) -> Preference:
        chosen, rejected = (_said(values, side) for side in ("chosen", "rejected"))
        if self.prompt is not None:
            asked = _asked(values, self.prompt)
            return Preference(prompt=_prompt(asked, info), chosen=chosen, rejected=rejected, info=info)
        if len(chosen) < 2:
            raise DataError("'chosen' has no prompt: add a column 'prompt', or messages that begin with it")
        asked = chosen[:-1]
        return Preference(prompt=_prompt(asked, info), chosen=chosen[-1:], rejected=rejected[-1:], info=info)


def columns(line: bytes, prompt: str | None = None, answer: str | None = None, text: str | None = None) -> Columns:
    """Which columns a pool has, by its first row and the columns that the user names.

    Raises:
        DataError: the row is no JSON object, or no column of it has a text.
    """
    values = values_of(line, Written)
    if text is not None:
        return Columns(text=text)
    if prompt is not None:
        return Columns(prompt=prompt, answer=answer or _first(values, tuple(one for one in SAID if one != prompt)))
    asked, said = _first(values, ASKED), answer or _first(values, SAID)
    if "chosen" in values and "rejected" in values:
        return Columns(prompt=asked, pair=True)
    if found := _first(values, TALKS):
        return Columns(talk=found)
    if asked:
        return Columns(prompt=asked, answer=said)
    if "text" in values:
        return Columns(text="text")
    raise DataError(
        f"no column has a text: it needs text, messages, or prompt and completion, and has "
        f"{', '.join(places(values)) or 'none'}; name them: --prompt COLUMN --answer COLUMN, or --text COLUMN"
    )


def records_in(path: Path, option: str) -> Iterator[Record]:
    """The records of a file that an option names.

    Raises:
        UserError: it is missing, or a row cannot be read; the message says which.
    """
    layout: Columns | None = None
    for number, line in enumerate(raw(path, option)):
        try:
            layout = layout or columns(line)
            record = layout.record(line, number)
        except DataError as error:
            raise DataError(f"{option}: {path}, row {number + 1}: {error}") from error
        yield record


def _first(values: Mapping[str, Any], names: tuple[str, ...]) -> str | None:
    return next((name for name in names if values.get(name) is not None), None)


def _text(values: Mapping[str, Any], column: str) -> str:
    value = pick(values, column)
    if not isinstance(value, str):
        raise DataError(f"{column!r} must be a text, not {type(value).__name__}")
    if not value.strip():
        raise DataError(f"{column!r} is empty")
    return value


def _asked(values: Mapping[str, Any], column: str) -> list[Message]:
    """The messages of a prompt; of an instruction with its input, as Alpaca's rows have one."""
    value = talk(pick(values, column))
    more = values.get("input") if column == "instruction" else None
    if isinstance(value, str) and isinstance(more, str) and more.strip():
        value = f"{value}\n\n{more}"
    return messages_of(value, column)


def _said(values: Mapping[str, Any], column: str) -> list[Message]:
    """The messages of a reply; a text or a number is one of the assistant."""
    value = talk(pick(values, column))
    if isinstance(value, list):
        return messages_of(value, column)
    text = reference_of(value, column)
    if text is None or not text.strip():
        raise DataError(f"{column!r} is empty")
    return [{"role": "assistant", "content": text}]


def _prompt(messages: list[Message], info: dict[str, Any]) -> Prompt:
    asked = "\n".join(message["content"] for message in messages if message["role"] != "system")
    return Prompt(prompt=messages, key=folded(asked), info=info)
