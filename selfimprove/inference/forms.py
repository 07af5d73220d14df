"""The forms in which models write their thoughts: tags around them, and a tag before code; `harmony` has channels.

A mark counts where it is the token of that name; with a tokenizer that has no such tokens it is read in the text. A
thought that is never closed is no reply.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

THOUGHT, REPLY = "thought", "reply"
"""Where in a completion something stands; "" where neither has begun."""


@dataclass
class Parts:
    """What a completion consists of."""

    content: str
    thinking: str = ""
    calls: list[dict[str, str]] = field(default_factory=list)
    """What was asked of tools: {"to": the tool, "content": what}."""


class Form(Protocol):
    """How a model writes its thoughts."""

    @property
    def closing(self) -> str:
        """What ends a thought and begins the reply; "" where thoughts cannot be closed from outside."""
        ...

    bare: ClassVar[bool]
    """Whether a reply may come without any mark."""

    @property
    def marks(self) -> frozenset[int]:
        """The tokens after which a text may stand elsewhere."""
        ...

    @property
    def opened(self) -> str:
        """Where a completion begins after the template's generation prompt: THOUGHT if that opens one, else ""."""
        ...

    def place(self, tokens: Sequence[int], before: str = "") -> str:
        """Where a text that ends with these tokens stands: THOUGHT, REPLY or "".

        Args:
            before: where it stood before the first of them.
        """
        ...

    def parts(self, tokenizer: Any, tokens: Sequence[int], begins: str) -> Parts:
        """The parts of a completion that begins there."""
        ...

    def read(self, text: str) -> Parts | None:
        """The parts of a text in this form; None if it does not begin with a thought."""
        ...

    def written(self, thinking: str, content: str, begins: str) -> str:
        """The text of a completion as the model would have drawn it; a thought without a reply is not closed."""
        ...


@dataclass(frozen=True)
class Tags:
    """A thought between two marks, then the reply."""

    bare: ClassVar[bool] = True
    open: str
    close: str
    beside: str = ""
    """What stands between a mark and the thought."""
    after: str = ""
    """What stands between the second mark and the reply."""
    ids: tuple[int, int] | None = None
    """The tokens of the marks; None: they are text."""
    ends: frozenset[int] = frozenset()
    """The tokens that end a turn."""
    opened: str = ""

    @property
    def marks(self) -> frozenset[int]:
        return self.ends | {*(self.ids or ())}

    @property
    def closing(self) -> str:
        return self._closing if self.ids else ""

    @property
    def _closing(self) -> str:
        return f"{self.beside}{self.close}{self.after}"

    def place(self, tokens: Sequence[int], before: str = "") -> str:
        if self.ids is None:
            return before
        for token in reversed(tokens):
            if token == self.ids[0]:
                return THOUGHT
            if token == self.ids[1]:
                return REPLY
            if token in self.ends:
                return ""
        return before

    def parts(self, tokenizer: Any, tokens: Sequence[int], begins: str) -> Parts:
        if self.ids is None:
            return self._sorted(self._of_text(tokenizer.decode(tokens, skip_special_tokens=True)), begins)
        pieces, start = list[tuple[str, str]](), 0
        for place, token in enumerate([*tokens, None]):
            if token is None or token in self.ids:
                text = tokenizer.decode(tokens[start:place], skip_special_tokens=True)
                pieces.append(("", text))
                if token is not None:
                    pieces.append((self.open if token == self.ids[0] else self.close, ""))
                start = place + 1
        return self._sorted(pieces, begins)

    def read(self, text: str) -> Parts | None:
        begins = text.lstrip().startswith(self.open)
        if not begins and not (self.opened and self.close in text):
            return None
        head, closed, rest = text.partition(self.close)  # what follows is text, whatever it has in it
        thought = head.lstrip().removeprefix(self.open).strip("\n")
        return Parts(rest.lstrip("\n") if closed else "", thought)

    def written(self, thinking: str, content: str, begins: str) -> str:
        if begins == THOUGHT:
            head = thinking
        elif thinking:
            head = f"{self.open}{self.beside}{thinking}"
        else:
            return content
        return f"{head}{self._closing}{content}" if content else head

    def _of_text(self, text: str) -> Iterator[tuple[str, str]]:
        for piece in re.split(f"({re.escape(self.open)}|{re.escape(self.close)})", text):
            yield (piece, "") if piece in (self.open, self.close) else ("", piece)

    def _sorted(self, pieces: Iterable[tuple[str, str]], begins: str) -> Parts:
        """The pieces between marks as parts: all before a closing mark without an opening one is thought too."""
        inside, thoughts, said, thought = begins == THOUGHT, list[str](), list[str](), begins == THOUGHT
        for mark, text in pieces:
            if mark == self.open:
                inside = thought = True
            elif mark == self.close:
                if not inside:
                    thoughts += said
                    said.clear()
                inside, thought = False, True
            elif inside:
                thoughts.append(text)
            else:
                said.append(text)
        content = "".join(said)
        return Parts(content.lstrip("\n") if thought else content, "".join(thoughts).strip("\n"))


@dataclass(frozen=True)
class Code:
    """A tag before code for a tool; what stands before it is the reply."""

    bare: ClassVar[bool] = True
    tag: int
    closing: str = ""
    opened: str = ""

    @property
    def marks(self) -> frozenset[int]:
        return frozenset()

    def place(self, tokens: Sequence[int], before: str = "") -> str:
        return before

    def parts(self, tokenizer: Any, tokens: Sequence[int], begins: str) -> Parts:
        cut = tokens.index(self.tag) if self.tag in tokens else len(tokens)
        said, code = (tokenizer.decode(part, skip_special_tokens=True) for part in (tokens[:cut], tokens[cut + 1 :]))
        return Parts(said, calls=[{"to": "python", "content": code}] if cut < len(tokens) else [])

    def read(self, text: str) -> Parts | None:
        return None

    def written(self, thinking: str, content: str, begins: str) -> str:
        return content
