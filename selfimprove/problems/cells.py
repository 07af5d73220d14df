"""What one row of somebody's data says: a prompt as messages, and a reference answer as text. Not a method.

Values come from JSON, CSV, Parquet or Arrow. A text stays as it is, a number as it was written, a date in ISO 8601.
What is not text is refused by an error that says which column to name or what to do with the row; whoever reads the row
adds its place.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from datetime import date, time
from decimal import Decimal
from typing import Any

from selfimprove.errors import DataError
from selfimprove.problems.jsonl_rows import json_of
from selfimprove.records import Message
from selfimprove.registry import nearest

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
ROLES = ("system", "developer", "user", "assistant")
TOOLS = ("tool", "function", "ipython", "function_call", "function_response", "observation")
"""Roles and speakers of tools; a conversation with one of them cannot be read."""
CALLS = ("tool_calls", "function_call")
"""Fields of a message that calls a tool."""
SPEAKERS = {
    **dict.fromkeys(("human", "user"), "user"),
    **dict.fromkeys(("gpt", "chatgpt", "assistant", "model", "bot"), "assistant"),
    "system": "system",
}
"""Name of a speaker in sharegpt's `from` -> role."""
PARTS = ("text", "input_text", "output_text")
"""Types of the parts of a content that are text."""


class Written(float):
    """A number with a fraction or an exponent, and the text by which a file gives it: `0.50` stays `0.50`."""

    def __new__(cls, text: str) -> Written:
        """Keep the text beside the number."""
        made = super().__new__(cls, text)
        made.text = text
        return made

    text: str


def pick(values: Mapping[str, Any], column: str) -> Any:
    """The value of a column, or of a value inside one: `reward_model.ground_truth`, `choices.0`.

    A text that is asked for a value inside it is read as JSON, as in the cells of a CSV; inside null there is null.

    Raises:
        DataError: the column does not exist; the message has the nearest name and lists the columns.
    """
    if column in values:
        return values[column]
    inner: Any = values
    for part in column.split("."):
        if isinstance(inner, str) and inner.lstrip()[:1] in ("{", "["):
            inner = json_of(inner.encode(errors="replace"), Written)
        if inner is None:
            return None
        if isinstance(inner, Mapping) and part in inner:
            inner = inner[part]
        elif isinstance(inner, list) and part.isdecimal() and int(part) < len(inner):
            inner = inner[int(part)]
        else:
            raise DataError(f"no column {column!r}.{nearest(column, places(values))}")
    return inner


def places(values: Mapping[str, Any]) -> list[str]:
    """The columns of a row, with those inside of others as `pick` takes them."""
    found = list[str]()
    for name, value in values.items():
        inner = [f"{name}.{part}" for part in value] if isinstance(value, Mapping) else []
        found += inner or [name]
    return found


def reference_of(value: Any, column: str) -> str | None:
    """A reference answer as text; None for null and for NaN, which is how tables write null.

    Raises:
        DataError: the value is no text, number, truth value or date.
    """
    match value:
        case None:
            return None
        case str():
            return value
        case Written():
            return value.text
        case bool() | int():
            return json.dumps(value)
        case float():
            return None if math.isnan(value) else json.dumps(value)
        case Decimal():
            return format(value, "f")
        case date() | time():  # a datetime is a date
            return value.isoformat()
    inner = [*value] if isinstance(value, Mapping) else ["0"] if isinstance(value, list) and value else []
    hint = f"; name a value inside it, such as {column}.{inner[0]}" if inner else ""
    raise DataError(f"{column!r} must be a text or a number, not {shown(value)}{hint}")


def messages_of(value: Any, column: str) -> list[Message]:
    """A prompt as messages; a content in parts of text becomes their text.

    Raises:
        DataError: the value is neither a text nor a list of messages, it is empty, or a message is from or to a tool.
    """
    if isinstance(value, str):
        value = [{"role": "user", "content": value}]
    if value is None or value == []:
        raise DataError(f"{column!r} is empty")
    if not isinstance(value, list) or not all(isinstance(one, Mapping) for one in value):
        raise _no_messages(value, column)
    messages = list[Message]()
    for place, message in enumerate(value):
        role, content = message.get("role"), message.get("content")
        if role in TOOLS or any(message.get(name) for name in CALLS):
            what = "a tool's reply" if role in TOOLS else "a call of a tool"
            raise DataError(f"{column!r}: message {place} is {what}, which no method replays; remove the row")
        parts = [content] if isinstance(content, Mapping) else content
        text = _content(parts, f"{column!r}: message {place}") if isinstance(parts, list) else content
        if not isinstance(role, str) or not isinstance(text, str):
            raise _no_messages(value, column)
        if role not in ROLES:
            raise DataError(f"{column!r}: message {place} has the role {role[:40]!r}.{nearest(role, ROLES)}")
        messages.append({"role": role, "content": text})
    if not clean(messages[-1]["content"]).strip():
        raise DataError(f"{column!r} is empty")
    return messages


def text_of(values: Mapping[str, Any], column: str) -> str:
    """A prompt that must be one text; it may be the one message of a conversation.

    Raises:
        KeyError: there is no such column.
        DataError: it is no text, or several messages.
    """
    value = values[column]
    messages = [] if isinstance(value, str) else messages_of(value, column)
    if len(messages) > 1:
        raise DataError(f"{column!r} is a conversation of {len(messages)} messages; it must be one text")
    return messages[0]["content"] if messages else value


def _no_messages(value: Any, column: str) -> DataError:
    return DataError(f"{column!r} must be a text or a list of {{role, content}}, not {shown(value)}")


def _content(parts: list[Any], where: str) -> str:
    """The text of a content in parts: [{"type": "text", "text": ...}], or texts; joined as chat templates join them."""
    texts = list[str]()
    for part in parts:
        kind = part.get("type", "text") if isinstance(part, Mapping) else "text"
        text = part.get("text") if isinstance(part, Mapping) else part
        if kind not in PARTS or not isinstance(text, str):
            raise DataError(f"{where} has a part that is no text: {shown(part)}; remove the row")
        texts.append(text)
    return "".join(texts)


def talk(value: Any) -> Any:
    """A conversation in sharegpt's form, {from, value}, as {role, content}; any other value unchanged.

    Raises:
        DataError: a speaker is unknown.
    """
    turns = value if isinstance(value, list) else []
    if not turns or not all(isinstance(turn, Mapping) and {"from", "value"} <= {*turn} for turn in turns):
        return value
    for turn in turns:
        if turn["from"] not in (*SPEAKERS, *TOOLS):
            raise DataError(f"unknown speaker {turn['from']!r}.{nearest(str(turn['from']), SPEAKERS)}")
    return [{"role": SPEAKERS.get(turn["from"], turn["from"]), "content": turn["value"]} for turn in turns]


def clean(text: str) -> str:
    """Remove surrogates and control characters other than newline and tab."""
    return CONTROL.sub("", text)


def dirty(text: str) -> bool:
    """Whether `clean` takes more from a text than the first half of a line end."""
    return CONTROL.search(text.replace("\r\n", "\n")) is not None


def shown(value: Any) -> str:
    """The beginning of a value, for a message."""
    return json.dumps(value, default=str)[:80]
