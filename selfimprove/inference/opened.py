"""A user's message that stays open: the template does not close it, and the model goes on as the user.

A message with `open`, the last one of a prompt, ends where its content ends. What the model writes is the user's text
up to the mark with which the template closes it: an end token, another token of its own, or a text such as `[/INST]`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from selfimprove.inference.foreign import Cover
from selfimprove.records import Message

_HERE = "\ue004"
"""Stands in a rendered template where the content of the open message ends."""
Render = Callable[[Sequence[Message], Cover], str]
"""What the chat template makes of messages, with hidden control strings, as text."""


def is_open(messages: Sequence[Message]) -> bool:
    """Whether a prompt ends with a message that the model continues as its author."""
    return bool(messages) and messages[-1].get("open", False)


def ids_up_to(tokenizer: Any, messages: Sequence[Message], render: Render) -> list[int]:
    """The tokens of a prompt from the chat template, up to the content of its last message and no further."""
    cover = Cover(tokenizer)
    last: Message = {**messages[-1], "content": messages[-1]["content"] + _HERE}
    shown = render([*messages[:-1], last], cover).rpartition(_HERE)[0].rstrip(" ")  # drawn tokens begin with blanks
    return cover.ids(shown)


def closing(tokenizer: Any, render: Render) -> tuple[int | None, str]:
    """What a template puts right behind a user's message: a token of its own, or else a text; (None, "") if nothing."""
    if not tokenizer.chat_template:
        return None, ""
    after = render([{"role": "user", "content": _HERE}], Cover(tokenizer)).rpartition(_HERE)[2].strip()
    ids = tokenizer(after, add_special_tokens=False)["input_ids"] if after else []
    return (ids[0], "") if ids and ids[0] in tokenizer.added_tokens_decoder else (None, after)


def said_by(tokenizer: Any, drawn: Sequence[int], mark: tuple[int | None, str]) -> Message:
    """What was drawn as the user's text, without the mark that closes it."""
    token, text = mark
    line = [*drawn]
    if token is not None and token in line:
        line = line[: line.index(token)]
    whole = tokenizer.decode(line, skip_special_tokens=True)
    return {"role": "assistant", "content": whole.partition(text)[0].rstrip() if text else whole}
