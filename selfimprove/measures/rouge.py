"""ROUGE-L between texts: how much of their words come in the same order, and a pool that new texts must be unlike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence


def common(one: Sequence[str], other: Sequence[str]) -> int:
    """The length of the longest common subsequence."""
    row = [0] * (len(other) + 1)
    for word in one:
        before = row
        row = [0]
        for place, its in enumerate(other):
            row.append(before[place] + 1 if word == its else max(before[place + 1], row[-1]))
    return row[-1]


class Pool:
    """Texts as words in lower case, which a new one must be unlike."""

    def __init__(self, most: float) -> None:
        """Begin empty.

        Args:
            most: the highest ROUGE-L, an F-measure in [0, 1], with any text of the pool; 1 allows everything.
        """
        self._most, self._texts = most, list[tuple[list[str], Counter[str]]]()

    def add(self, text: str) -> None:
        """Add a text."""
        if self._most < 1:
            words = text.casefold().split()
            self._texts.append((words, Counter(words)))

    def holds_like(self, text: str) -> bool:
        """Whether a text is more like one of the pool than allowed."""
        words = text.casefold().split()
        counts = Counter(words)
        return any(self._alike(words, counts, *other) for other in self._texts)

    def _alike(self, one: list[str], own: Counter[str], other: list[str], its: Counter[str]) -> bool:
        """Whether ROUGE-L is above the bound; the count of common words is a faster upper bound of it."""
        size = len(one) + len(other)
        if not size or 2 * (own & its).total() <= self._most * size + 1e-9:
            return False
        return 2 * common(one, other) > self._most * size + 1e-9
