"""MinHash of texts: which texts share most of their n-grams, found without comparing each with each.

Two texts with Jaccard similarity s between their sets of n-grams agree in a min-hash with probability s; they share one
of `BANDS` bands of `ROWS` min-hashes with probability 1 - (1 - s^ROWS)^BANDS: .92 for s = .8, .9996 for s = .9.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

BANDS, ROWS = 14, 8
"""As in datatrove, which cleans FineWeb."""
_STEP = 0x9E3779B97F4A7C15


def units_of(text: str, characters: bool) -> list[str]:
    """The words of a text in lower case, or its characters with white space folded."""
    words = text.lower().split()
    return list(" ".join(words)) if characters else words


def shingles(text: str, n: int, characters: bool = False) -> Any:
    """The set of n-grams of a text as sorted 64-bit numbers: a numpy array of uint64 (m,).

    A text of fewer than n words or characters is one n-gram as a whole, so it only resembles equal ones.
    """
    import numpy as np

    units = units_of(text, characters)
    if len(units) < n:
        units, n = ["\0".join(units)], 1
    known: dict[str, int] = {}
    row = np.fromiter((known.setdefault(one, _number(one)) for one in units), dtype=np.uint64, count=len(units))
    grams = np.zeros(len(row) - n + 1, dtype=np.uint64)
    for place in range(n):
        grams = _mixed(grams * np.uint64(31) + row[place : len(row) - n + 1 + place])
    return np.unique(grams)


def bands(grams: Any) -> Any:
    """The bands of a set of n-grams, each as one number: a numpy array of uint64 (BANDS,)."""
    import numpy as np

    seeds = _mixed(np.arange(BANDS * ROWS, dtype=np.uint64))
    least = _mixed(grams[:, None] ^ seeds).min(axis=0).reshape(BANDS, ROWS)
    keys = np.arange(BANDS, dtype=np.uint64)
    for place in range(ROWS):
        keys = _mixed(keys * np.uint64(31) + least[:, place])
    return keys


def jaccard(a: Any, b: Any) -> float:
    """The similarity of two sets of n-grams: what both have, over what either has."""
    import numpy as np

    both = len(np.intersect1d(a, b, assume_unique=True))
    return both / (len(a) + len(b) - both)


def meetings(keys: Any) -> list[list[int]]:
    """For each text the bands that it shares with others, by a number of the band; most texts share none.

    Args:
        keys: a numpy array of uint64 (texts, BANDS).
    """
    import numpy as np

    found, first = [list[int]() for _ in keys], 0
    for column in np.transpose(keys):
        _, numbers, counts = np.unique(column, return_inverse=True, return_counts=True)
        for place in np.flatnonzero(counts[numbers] > 1):
            found[place].append(first + int(numbers[place]))
        first += len(counts)
    return found


def kept(texts: Sequence[str], n: int, similarity: float, characters: bool = False, most: int = 64) -> list[int]:
    """The places of texts that resemble no earlier text that is kept.

    A text is dropped if its similarity to a kept one that shares a band with it is at least `similarity`. So nothing is
    dropped for what only a chain of others connects, and all that is dropped has a kept text that resembles it.

    Args:
        most: a text is compared with so many kept ones of a band, the first; boilerplate would make it all of them.
    """
    import numpy as np

    if not texts:
        return []
    rows = np.stack([bands(shingles(text, n, characters)) for text in texts])
    met = meetings(rows)
    known: dict[int, list[Any]] = {}
    stay = list[int]()
    for place, (text, shared) in enumerate(zip(texts, met, strict=True)):
        if shared:
            own = shingles(text, n, characters)
            others = {id(one): one for band in shared for one in known.get(band, ())}
            if any(jaccard(own, one) >= similarity for one in others.values()):
                continue
            for band in shared:
                if len(same := known.setdefault(band, [])) < most:
                    same.append(own)
        stay.append(place)
    return stay


def _number(text: str) -> int:
    """64 bits of a text, the same in every process."""
    raw = text.encode("utf-8", "surrogatepass")
    return zlib.crc32(raw) << 32 | zlib.adler32(raw)


def _mixed(numbers: Any) -> Any:
    """Each number spread over all 64 bits: the finalizer of splitmix64, Steele et al., 2014."""
    import numpy as np

    made = numbers + np.uint64(_STEP)
    made = (made ^ (made >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    made = (made ^ (made >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return made ^ (made >> np.uint64(31))
