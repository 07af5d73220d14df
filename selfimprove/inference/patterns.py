"""Rows that are being drawn by a pattern: only tokens after which the text can still become a match may be drawn.

The automata come from the library outlines-core (arXiv:2307.09702), which is imported when a row has a pattern.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from selfimprove.errors import EngineError, RecipeError

KINDS = ("regex", "choice", "json")


def check(pattern: tuple[str, ...]) -> None:
    """Check a pattern as `Sampling.pattern` has it, as far as it goes without the library.

    Raises:
        RecipeError: it is none.
    """
    kind, *said = pattern
    if kind not in KINDS or not said or (kind != "choice" and len(said) != 1) or not all(said):
        raise RecipeError(f"a pattern is a regex, a choice of texts or a json schema, and not {pattern!r:.80}")
    if kind == "regex" and r"\p" not in said[0]:  # classes of letters, which Python's own expressions lack
        try:
            re.compile(said[0])
        except re.error as error:
            raise RecipeError(f"{said[0]!r:.80} is no regular expression: {error}") from error
    if kind == "json":
        try:
            schema = json.loads(said[0])
        except ValueError as error:
            raise RecipeError(f"{said[0]!r:.80} is no JSON schema: {error}") from error
        if not isinstance(schema, dict):
            raise RecipeError(f"{said[0]!r:.80} is no JSON schema: it must be an object")


def expression(pattern: tuple[str, ...]) -> str:
    """A pattern as a regular expression.

    Raises:
        RecipeError: a JSON schema has what no regular expression can say.
    """
    check(pattern)
    kind, *said = pattern
    if kind == "choice":
        return "|".join(f"({re.escape(one)})" for one in said)
    if kind == "json":
        library = _library()
        try:
            return library.json_schema.build_regex_from_schema(said[0])
        except Exception as error:  # the library raises many types
            raise RecipeError(f"the JSON schema cannot be followed: {str(error).splitlines()[0]}") from error
    return said[0]


class Patterns:
    """Where each row stands in its pattern.

    Args:
        ends: the ids of the end tokens; they may be drawn where the text is a match.
        patterns: row -> its pattern.
        replying: whether each of these rows writes its reply now; thoughts are free.
    """

    def __init__(
        self,
        tokenizer: Any,
        ends: Sequence[int],
        patterns: Mapping[int, tuple[str, ...]],
        replying: Callable[[Sequence[int]], Sequence[bool]],
    ) -> None:
        self.any = bool(patterns)
        self._ends, self._replying = [*ends], replying
        self._indices = {one: _index(tokenizer, ends[0], one) for one in set(patterns.values())}
        self._index = {row: self._indices[one] for row, one in patterns.items()}
        self._state = {row: index.get_initial_state() for row, index in self._index.items()}
        self._allowed: dict[tuple[int, int], Any] = {}

    def masked(self, rows: Sequence[int], logprobs: Any) -> Any:
        """The log-probabilities of these rows, (rows, vocabulary), with -inf for tokens that cannot follow."""
        import torch

        mask = torch.zeros_like(logprobs, dtype=torch.bool)
        for place, (row, now) in enumerate(zip(rows, self._replying(rows), strict=True)):
            if now and row in self._state:
                mask[place] = True
                mask[place, self._following(row).to(mask.device)] = False
        return logprobs.masked_fill(mask, -torch.inf)

    def take(self, rows: Sequence[int], tokens: Sequence[int], replying: Sequence[bool]) -> None:
        """Go on with the tokens that were drawn; a row that ends is forgotten."""
        for row, token, now in zip(rows, tokens, replying, strict=True):
            if now and row in self._state:
                after = None if token in self._ends else self._index[row].get_next_state(self._state[row], token)
                if after is None:
                    del self._state[row]
                else:
                    self._state[row] = after

    def writing(self, rows: Sequence[int]) -> Sequence[bool]:
        """Whether each of these rows writes its reply."""
        return self._replying(rows)

    def _following(self, row: int) -> Any:
        """The ids of the tokens that may follow."""
        import torch

        index, state = self._index[row], self._state[row]
        key = id(index), state
        if key not in self._allowed:
            tokens = {*(index.get_allowed_tokens(state) or ())} - {*self._ends}
            if index.is_final_state(state) or not tokens:
                tokens |= {*self._ends}
            self._allowed[key] = torch.tensor(sorted(tokens))
        return self._allowed[key]


@lru_cache(maxsize=16)
def _index(tokenizer: Any, end: int, pattern: tuple[str, ...]) -> Any:
    """The automaton of a pattern over a tokenizer's tokens."""
    said = expression(pattern)
    try:
        return _library().Index(said, _vocabulary(tokenizer, end))
    except ValueError as error:
        raise RecipeError(f"the pattern {said!r:.80} cannot be followed: {str(error).splitlines()[0]}") from error


@lru_cache(maxsize=2)
def _vocabulary(tokenizer: Any, end: int) -> Any:
    known: dict[bytes, list[int]] = {}
    special = {*tokenizer.all_special_ids, end}
    for token, number in tokenizer.get_vocab().items():
        said = b"" if number in special else _bytes_of(tokenizer, token, number)
        if said:
            known.setdefault(said, []).append(number)
    return _library().Vocabulary(end, known)


def _bytes_of(tokenizer: Any, token: str, number: int) -> bytes:
    """The bytes that a token adds to a text: byte-level BPE, SentencePiece with byte fallback, or plain text."""
    if _is_byte_level(tokenizer):
        letters = _letters()
        return bytes(letters[one] for one in token) if all(one in letters for one in token) else token.encode()
    if found := re.fullmatch(r"<0x([0-9A-F]{2})>", token):
        return bytes([int(found[1], 16)])
    if "\u2581" in token:  # SentencePiece's blank
        return token.replace("\u2581", " ").encode()
    return tokenizer.decode([number]).encode()


@lru_cache(maxsize=2)
def _is_byte_level(tokenizer: Any) -> bool:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    return "ByteLevel" in str(getattr(backend, "decoder", ""))


@lru_cache(maxsize=1)
def _letters() -> dict[str, int]:
    """The letter of byte-level BPE for each byte, as GPT-2 numbers them: printable ones stand for themselves."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [one for one in range(256) if one not in plain]
    return {chr(one): one for one in plain} | {chr(256 + place): one for place, one in enumerate(others)}


def _library() -> Any:
    """
    Raises:
        EngineError: outlines-core is not installed.
    """
    try:
        import outlines_core
    except ImportError as error:
        raise EngineError(
            "patterns need the package outlines_core, which is not installed: pip install 'selfimprove[constrained]'"
        ) from error
    return outlines_core
