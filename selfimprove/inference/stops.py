"""Stop strings: a completion ends with the token that completes one; text and token ids keep that token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

SPARE = 8
"""Tokens looked at beside those that a stop string can consist of: some stand for no text of their own."""


def completed(text: str, stops: Sequence[str]) -> tuple[str, int] | None:
    """The stop string that is completed first in a text, and where it ends; None if there is none."""
    ends = [(text.index(stop) + len(stop), place) for place, stop in enumerate(stops) if stop and stop in text]
    if not ends:
        return None
    end, place = min(ends)
    return stops[place], end


def first_stop(tokenizer: Any, tokens: Sequence[int], stops: tuple[str, ...]) -> tuple[int, str]:
    """The number of tokens up to the first that completes a stop string, and that string; all and "" if none does."""
    watch = Watch(tokenizer, {0: stops})
    for place, token in enumerate(tokens):
        if watch.step([0], [token]):
            return place + 1, watch.found[0]
    return len(tokens), ""


class Watch:
    """Rows that are being drawn, watched for their stop strings.

    What counts is the text of all of a row's tokens. To decode all of it at every token would take the square of the
    length, so that is done only where the new token has the last character of a stop string and the newest tokens have
    all of it.

    Args:
        stops: row -> its stop strings.
    """

    def __init__(self, tokenizer: Any, stops: Mapping[int, tuple[str, ...]]) -> None:
        self.tokenizer, self.stops = tokenizer, stops
        self.lines: dict[int, list[int]] = {row: [] for row in stops}
        self.found: dict[int, str] = {}
        """Row -> the stop string that it has completed."""
        self._silent = set(tokenizer.all_special_ids) if stops else set()
        self._texts: dict[int, str] = {}

    def step(self, rows: Sequence[int], tokens: Sequence[int]) -> list[int]:
        """The places in `rows` that complete a stop string with these tokens, one for each row."""
        ended = []
        for place, (row, token) in enumerate(zip(rows, tokens, strict=True)):
            line = self.lines.get(row)
            if line is None or row in self.found or token in self._silent:
                continue
            line.append(token)
            if not self._may(token, self.stops[row]):
                continue
            newest = max(len(stop.encode()) for stop in self.stops[row]) + SPARE
            if len(line) > newest and completed(self._text(line[-newest:]), self.stops[row]) is None:
                continue
            if found := completed(self._text(line), self.stops[row]):
                self.found[row] = found[0]
                ended.append(place)
        return ended

    def _may(self, token: int, stops: tuple[str, ...]) -> bool:
        """Whether a token can be the last of a stop string; a piece of a character and a space are not told apart."""
        if token not in self._texts:
            self._texts[token] = self._text([token])
        text = self._texts[token]
        return "\N{REPLACEMENT CHARACTER}" in text or any(
            stop and (stop[-1] in text or stop[-1] == " ") for stop in stops
        )

    def _text(self, tokens: list[int]) -> str:
        return self.tokenizer.decode(tokens, skip_special_tokens=True)
