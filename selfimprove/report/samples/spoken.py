"""Completions as text for a reader: the roles of a conversation, thoughts, long ones cut in the middle."""

from __future__ import annotations

from collections.abc import Sequence

from selfimprove.records import Message
from selfimprove.text import quoted

FIRST, LAST, LONGEST = 6, 3, 2000
"""Lines of a long text that are shown at its beginning and its end, and its most characters."""


def said(messages: Sequence[Message]) -> str:
    """A completion as text; of several messages each begins with its role."""
    parts = [_thought(message) + message["content"] for message in messages]
    if len(parts) == 1:
        return parts[0]
    return "\n".join(f"{message['role']}: {part}" for message, part in zip(messages, parts, strict=True))


def _thought(message: Message) -> str:
    thought = message.get("thinking")
    return f"(thought: {thought})\n" if thought else ""


def asked(messages: Sequence[Message]) -> str:
    """A problem as text, without the system message."""
    return quoted(messages) if any(message["role"] != "system" for message in messages) else said(messages)


def shortened(text: str) -> str:
    """A text with its first and last lines; the rest is counted."""
    lines = text.split("\n")
    if len(lines) > FIRST + LAST + 1:
        left = len(lines) - FIRST - LAST
        text = "\n".join([*lines[:FIRST], f"... {left} more lines ...", *lines[-LAST:]])
    if len(text) > LONGEST:
        text = f"{text[: LONGEST - 300]} ... {len(text) - LONGEST} more characters ... {text[-300:]}"
    return text


def fork(one: str, other: str) -> int:
    """The place from which on two texts differ; the length of the shorter if one begins with the other."""
    for place, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return place
    return min(len(one), len(other))
