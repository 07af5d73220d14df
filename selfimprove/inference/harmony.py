"""Harmony, the form of gpt-oss: a turn has several messages, each in a channel."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from selfimprove.inference.forms import REPLY, THOUGHT, Parts

CHANNEL, BODY, START, END = "<|channel|>", "<|message|>", "<|start|>", "<|end|>"
"""The marks of harmony, the form of gpt-oss."""


@dataclass(frozen=True)
class Channels:
    """Messages of one turn, each in a channel: `final` is the reply, `analysis` a thought.

    A message to a recipient is a call. What else there is, such as a preamble in `commentary`, counts as thought.
    """

    bare: ClassVar[bool] = False
    channel: int
    body: int
    start: int
    end: int
    final: tuple[int, ...]
    """The tokens of `<|channel|>final`."""
    opened: str = ""

    @property
    def marks(self) -> frozenset[int]:
        return frozenset({self.start, self.end, self.body})

    @property
    def closing(self) -> str:
        return f"{END}{START}assistant{CHANNEL}final{BODY}"

    def place(self, tokens: Sequence[int], before: str = "") -> str:
        for place in range(len(tokens) - 1, -1, -1):
            if tokens[place] in (self.start, self.end):
                return ""
            if tokens[place] == self.body:
                head = tuple(tokens[max(0, place - len(self.final)) : place])
                return REPLY if head == self.final else THOUGHT
        return before

    def parts(self, tokenizer: Any, tokens: Sequence[int], begins: str) -> Parts:
        if self.body not in tokens and not begins:  # none of it is in the form
            return Parts(tokenizer.decode(tokens, skip_special_tokens=True))
        made, head = Parts(""), list[int]()
        said: dict[str, list[str]] = {THOUGHT: [], REPLY: []}
        for place, message in enumerate(self._messages(tokens)):
            if self.body in message:
                cut = message.index(self.body)
                head, text = message[:cut], tokenizer.decode(message[cut + 1 :], skip_special_tokens=True)
            elif not place and begins:
                said[begins].append(tokenizer.decode(message, skip_special_tokens=True))
                continue
            else:
                continue
            words = tokenizer.decode(head)
            to, named = re.search(r"\bto=(\S+?)(?=<|\s|$)", words), re.search(rf"{re.escape(CHANNEL)}\s*(\w+)", words)
            if to:
                made.calls.append({"to": to[1], "content": text})
            else:
                said[REPLY if named and named[1] == "final" else THOUGHT].append(text)
        made.content, made.thinking = ("\n".join(filter(None, said[place])) for place in (REPLY, THOUGHT))
        return made

    def _messages(self, tokens: Sequence[int]) -> Iterator[list[int]]:
        message = list[int]()
        for token in tokens:
            if token in (self.start, self.end):
                yield message
                message = []
            else:
                message.append(token)
        yield message

    def read(self, text: str) -> Parts | None:
        if not text.lstrip().startswith(CHANNEL):
            return None
        said: dict[str, list[str]] = {THOUGHT: [], REPLY: []}
        for message in re.split(f"{re.escape(END)}|{re.escape(START)}", text):
            head, found, body = message.partition(BODY)
            if found:
                named = re.search(rf"{re.escape(CHANNEL)}\s*(\w+)", head)
                said[REPLY if named and named[1] == "final" else THOUGHT].append(body)
        return Parts("\n".join(said[REPLY]), "\n".join(said[THOUGHT]))

    def written(self, thinking: str, content: str, begins: str) -> str:
        if begins == REPLY:
            return content
        reply = f"{CHANNEL}final{BODY}{content}"
        if begins == THOUGHT:
            return f"{thinking}{self.closing}{content}" if content else thinking
        if not thinking:
            return reply
        thought = f"{CHANNEL}analysis{BODY}{thinking}"
        return f"{thought}{END}{START}assistant{reply}" if content else thought
