"""MinHash of texts: which texts share most of their n-grams, found without comparing each with each.

Two texts with Jaccard similarity s between their sets of n-grams agree in a min-hash with probability s; they share one
of `BANDS` bands of `ROWS` min-hashes with probability 1 - (1 - s^ROWS)^BANDS: .92 for s = .8, .9996 for s = .9.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from selfimprove.measures.ngrams import grams, in_parts, mixed

BANDS, ROWS = 14, 8
"""As in datatrove, which cleans FineWeb."""


def shingles(text: str, n: int, characters: bool = False) -> Any:
    """The set of n-grams of a text as sorted numbers: a numpy array of uint64 (m,)."""
    import numpy as np

    return np.unique(grams([text], n, characters)[0])


def bands(numbers: Any, counts: Any) -> Any:
    """The bands of the n-grams of texts, each as one number: a numpy array of uint64 (texts, BANDS).

    The min-hash i is the least of a_i x + b_i modulo 2^32 over the n-grams x, of which 32 well mixed bits count.

    Args:
        counts: how many of the numbers each text has, at least one.
    """
    import numpy as np

    small = (mixed(numbers) >> np.uint64(32)).astype(np.uint32)
    seeds = mixed(np.arange(2 * BANDS * ROWS, dtype=np.uint64))
    factors, shifts = (seeds.astype(np.uint32) | np.uint32(1)).reshape(2, -1)
    starts = np.cumsum(counts) - counts
    keys = np.repeat(np.arange(BANDS, dtype=np.uint64)[None], len(counts), axis=0)
    hashed = np.empty_like(small)
    for place in range(BANDS * ROWS):
        np.multiply(small, factors[place], out=hashed)
        hashed += shifts[place]
        column = keys[:, place // ROWS]
        keys[:, place // ROWS] = mixed(column * np.uint64(31) + np.minimum.reduceat(hashed, starts))
    return keys


def bands_of(texts: Iterable[str], n: int, characters: bool = False) -> Any:
    """The bands of texts: a numpy array of uint64 (texts, BANDS)."""
    import numpy as np

    parts = [bands(*grams(part, n, characters)) for part in in_parts(texts)]
    return np.concatenate(parts) if parts else np.zeros((0, BANDS), dtype=np.uint64)


def jaccard(a: Any, b: Any) -> float:
    """The similarity of two sets of n-grams: what both have, over what either has."""
    import numpy as np

    both = len(np.intersect1d(a, b, assume_unique=True))
    return both / (len(a) + len(b) - both)


def meetings(keys: Any) -> tuple[Any, Any]:
    """The texts that share a band with others, and their bands.

    Args:
        keys: a numpy array of uint64 (texts, BANDS).

    Returns:
        The places of these texts in order, int64 (m,), and for each the number of each of its bands, int64 (m, BANDS);
        -1 for a band that no other text has.
    """
    import numpy as np

    found = np.full(keys.shape, -1, dtype=np.int64)
    first = 0
    for column, numbers in zip(np.transpose(keys), np.transpose(found), strict=True):
        order = np.argsort(column, kind="stable")
        new = np.ones(len(column), dtype=bool)
        new[1:] = np.diff(column[order]) != 0
        group = np.cumsum(new) - 1
        several = np.bincount(group)[group] > 1 if len(group) else new
        numbers[order[several]] = first + group[several]
        first += len(column)
    some = np.flatnonzero((found >= 0).any(axis=1))
    return some, found[some]


def alike(
    keys: Any,
    texts: Callable[[list[int]], Iterable[str]],
    n: int,
    similarity: float,
    characters: bool = False,
    most: int = 64,
) -> list[tuple[int, int, float]]:
    """The texts that resemble an earlier text that is not among them: (its place, the earlier one's, similarity).

    So nothing is dropped for what only a chain of others connects, and all that is dropped has a kept text that
    resembles it.

    Args:
        keys: the bands of all texts: a numpy array of uint64 (texts, BANDS).
        texts: gives the texts at some places, in ascending order.
        most: a text is compared with so many kept ones of a band, the first; boilerplate would make it all of them.
    """
    places, met = meetings(keys)
    known: dict[int, list[tuple[int, Any]]] = {}
    gone = list[tuple[int, int, float]]()
    sets = (one for part in in_parts(texts(places.tolist())) for one in _sets(part, n, characters))
    for place, row, own in zip(places.tolist(), met.tolist(), sets, strict=True):
        shared = [band for band in row if band >= 0]
        others = {one[0]: one[1] for band in shared for one in known.get(band, ())}
        near = ((other, jaccard(own, theirs)) for other, theirs in others.items())
        found = next(((other, s) for other, s in near if s >= similarity), None)
        if found:
            gone.append((place, *found))
            continue
        for band in shared:
            if len(same := known.setdefault(band, [])) < most:
                same.append((place, own))
    return gone


def _sets(texts: Sequence[str], n: int, characters: bool) -> Iterator[Any]:
    """The set of n-grams of each text, as `shingles` gives it."""
    import numpy as np

    numbers, counts = grams(texts, n, characters)
    ends = np.cumsum(counts)
    for end, count in zip(ends.tolist(), counts.tolist(), strict=True):
        yield np.unique(numbers[end - count : end])
