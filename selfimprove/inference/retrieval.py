"""Texts near a text, by the words that they share.

BM25 as in Robertson and Zaragoza, The Probabilistic Relevance Framework, 2009, section 3: a rare word counts more, a
repeated word ever less, a long text less. It needs no model, so that the same problems are near in every round.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

SATURATION = 1.5
"""k1: how much a repeated word still adds."""
LENGTH = 0.75
"""b: how much a long text counts less."""
_WORD = re.compile(r"\w+")


class Bm25:
    """An index of texts."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._counts = [Counter(_words(text)) for text in texts]
        self._sizes = [sum(count.values()) for count in self._counts]
        self._mean = sum(self._sizes) / max(1, len(texts)) or 1.0
        known = Counter(word for count in self._counts for word in count)
        self._rarity = {word: math.log1p((len(texts) - n + 0.5) / (n + 0.5)) for word, n in known.items()}

    def nearest(self, text: str, k: int) -> list[int]:
        """The places of the k nearest texts, the nearest first, of equally near ones the earlier first.

        A text that shares no word may be among them.
        """
        asked = sorted(set(_words(text)))
        values = [self._value(place, asked) for place in range(len(self._counts))]
        return sorted(range(len(values)), key=lambda place: -values[place])[:k]

    def _value(self, place: int, asked: Sequence[str]) -> float:
        count = self._counts[place]
        norm = SATURATION * (1 - LENGTH + LENGTH * self._sizes[place] / self._mean)
        shared = (word for word in asked if count[word])
        return math.fsum(self._rarity[word] * count[word] * (SATURATION + 1) / (count[word] + norm) for word in shared)


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())
