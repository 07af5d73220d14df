"""Rows that are being drawn, watched for their thoughts; a thought that reaches its budget is closed.

The tokens that close it are the model's own form, such as `</think>`. They are part of the completion like drawn ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from selfimprove.errors import RecipeError
from selfimprove.inference.forms import REPLY, THOUGHT
from selfimprove.inference.thinking import form_of

LATEST = 16
"""Tokens by which a form tells where a row stands: a channel's mark, its name and the mark of its body."""


class Thoughts:
    """Where each row stands.

    Args:
        prompts: the tokens of each row's prompt.
        budget: most tokens of a thought; None: as many as the model likes.

    Raises:
        RecipeError: there is a budget, and the model has no thoughts that can be closed.
    """

    def __init__(self, tokenizer: Any, prompts: Sequence[Sequence[int]], budget: int | None) -> None:
        self._tokenizer, self._form, self._budget = tokenizer, form_of(tokenizer), budget
        self.any = self._form is not None
        """Whether the model has thoughts at all."""
        if budget is not None and not (self._form and self._form.closing):
            raise RecipeError(
                "thinking_budget: neither tokenizer nor chat template of the model show how it writes its thoughts, so "
                "none can be closed: set it to null"
            )
        known = {tuple(prompt): self._form.place(prompt) for prompt in {*map(tuple, prompts)}} if self._form else {}
        self._places = [known.get(tuple(prompt), "") for prompt in prompts]
        self._spent = [0] * len(prompts)
        self._latest: list[list[int]] = [[] for _ in prompts]
        self._closing: dict[int, list[int]] = {}
        self._taken = [0] * len(prompts)
        self.closed: dict[int, range] = {}
        """Row -> the places of the tokens that closed its thought, which it did not draw."""
        self._after = set[int]()
        """Rows whose thought has ended and whose reply has not begun: blanks stand between the two."""
        self._close = list[int]()
        if budget is not None and self._form:
            self._close = tokenizer(self._form.closing, add_special_tokens=False)["input_ids"]

    def thinking(self, rows: Sequence[int]) -> list[bool]:
        """Whether the newest token of each of these rows does not belong to a reply."""
        if self._form is None:
            return [False for _ in rows]
        silent = (THOUGHT,) if self._form.bare else (THOUGHT, "")
        return [self._places[row] in silent or row in self._after for row in rows]

    def replying(self, rows: Sequence[int]) -> list[bool]:
        """Whether the next token of each of these rows belongs to a reply, or to the blanks before it."""
        if self._form is None:
            return [True for _ in rows]
        silent = (THOUGHT,) if self._form.bare else (THOUGHT, "")
        return [self._places[row] not in silent and not self._closing.get(row) for row in rows]

    def take(self, rows: Sequence[int], tokens: Sequence[int]) -> list[int]:
        """The tokens that these rows get: the drawn ones, or those that close a thought."""
        return [self._take(row, token) for row, token in zip(rows, tokens, strict=True)]

    def due(self, row: int) -> list[int]:
        """The tokens that come next in a row whatever is drawn: those that close its thought, or what is left of them;
        none if it goes on as it likes."""
        if row in self._closing:
            return [*self._closing[row]]
        spent = self._places[row] == THOUGHT and self._spent[row] == self._budget
        return [*self._close] if spent else []

    def free(self, row: int) -> int | None:
        """How many tokens a row may get before its thought may have to be closed; None: as many as it likes, as far as
        its tokens tell. One that has not begun may begin with a thought."""
        if self._budget is None or row in self._closing:
            return None
        if self._places[row] == THOUGHT:
            return self._budget - self._spent[row]
        return None if self._places[row] == REPLY or self._latest[row] else self._budget + LATEST

    def _take(self, row: int, token: int) -> int:
        self._taken[row] += 1
        if due := self.due(row):
            left, place = self._closing.setdefault(row, due), self._taken[row] - 1
            self.closed.setdefault(row, range(place, place + len(due)))
            token = left.pop(0)
            if not left:
                self._places[row], self._latest[row] = REPLY, []
                self._after.add(row)
            return token
        if self._form is None:
            return token
        if row in self._after and self._tokenizer.decode([token]).strip():
            self._after.discard(row)
        latest = self._latest[row] = [*self._latest[row][-LATEST:], token]
        before = self._places[row]
        if token in self._form.marks:
            self._places[row] = self._form.place(latest, before)
        if before == THOUGHT == self._places[row]:
            self._spent[row] += 1
        elif self._places[row] == REPLY != before:
            self._after.add(row)
        return token
