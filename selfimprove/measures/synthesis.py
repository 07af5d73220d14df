"""What a set of made texts is worth as data: how much they repeat themselves, and how far they are from the seeds."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Sequence

from selfimprove.text import ngrams


def evenness(things: Sequence[Hashable]) -> float:
    """The entropy of things by how often each comes, over the most that so many can have; in [0, 1], 1 if no two are
    equal, 0 if all are."""
    if len(things) < 2:
        return 0.0
    return _entropy(Counter(things)) / math.log2(len(things))


def variety(texts: Sequence[str], n: int = 2) -> float:
    """`evenness` of the n-grams of all texts together: of words, or of characters in a text without spaces."""
    return evenness([gram for text in texts for gram in ngrams(text, n)])


def drift(seeds: Sequence[str], made: Sequence[str], n: int = 1) -> float:
    """How far made texts are from the seeds: the Jensen-Shannon divergence of their n-grams, in bits.

    0 if both use the same ones equally often, 1 if they share none; 0 if there are none on a side.
    """
    old, new = (Counter(gram for text in texts for gram in ngrams(text, n)) for texts in (seeds, made))
    if not old or not new:
        return 0.0
    p, q = ({gram: count / counts.total() for gram, count in counts.items()} for counts in (old, new))
    middle = {gram: (p.get(gram, 0.0) + q.get(gram, 0.0)) / 2 for gram in {**p, **q}}
    return min(1.0, max(0.0, _bits(middle) - (_bits(p) + _bits(q)) / 2))


def _entropy(counts: Counter[Hashable]) -> float:
    total = counts.total()
    return -sum(count / total * math.log2(count / total) for count in counts.values())


def _bits(shares: dict[tuple[str, ...], float]) -> float:
    return -sum(share * math.log2(share) for share in shares.values() if share)
