"""N-grams of many texts at once, as numbers: numpy works on all words of a portion together.

A number is the same in every process and on every machine. Two different n-grams of a million texts have the same one
with a probability below one in a thousand.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

AT_ONCE, LETTERS = 512, 1 << 20
"""Most texts, and most characters, that are hashed together: so many fit into the cache of a core."""
_STEP = 0x9E3779B97F4A7C15
_BASE = 0x5851F42D4C957F2D
"""The base of the polynomial that a word's bytes are the coefficients of; odd, so that it has an inverse."""
_TOKEN = re.compile(r"\w+|[^\w\s]+")
_MARKS = str.maketrans("", "", ".,;:!?\"'()[]{}\u201c\u201d\u2018\u2019\u2026*_`")
_known: dict[int, Any] = {}
"""The powers of a base, see `_powers`."""


def words(texts: Iterable[str], loose: bool = False) -> tuple[Any, Any]:
    """The words of texts in lower case, as numbers: uint64 (words,), and how many each text has: int64 (texts,).

    Args:
        loose: equal up to punctuation and the form of a letter, too.
    """
    split: Callable[[str], list[str]] = (
        (lambda text: _plain(text).split()) if loose else (lambda text: text.lower().split())
    )
    return _together([_numbered([*map(split, part)]) for part in in_parts(texts)])


def tokens(texts: Iterable[str]) -> tuple[Any, Any]:
    """The words and the runs of punctuation of texts in lower case, as `words` gives words."""
    return _together([_numbered([_TOKEN.findall(text.lower()) for text in part]) for part in in_parts(texts)])


def letters(texts: Iterable[str]) -> tuple[Any, Any]:
    """The characters of texts in lower case with white space folded, as `words` gives words."""
    import numpy as np

    folded = [" ".join(text.lower().split()) for text in texts]
    raw = "".join(folded).encode("utf-32-le", "surrogatepass")
    sizes = np.fromiter(map(len, folded), dtype=np.int64, count=len(folded))
    return mixed(np.frombuffer(raw, dtype=np.uint32).astype(np.uint64)), sizes


def runs(numbers: Any, sizes: Any, n: int) -> tuple[Any, Any]:
    """The runs of n units inside each text, as numbers: uint64 (runs,), and how many each text has: int64 (texts,)."""
    import numpy as np

    counts = np.maximum(sizes - (n - 1), 0)
    if not counts.any():
        return numbers[:0], counts
    whole = len(numbers) - n + 1
    made = np.zeros(whole, dtype=np.uint64)
    for place in range(n):
        made *= np.uint64(0xD1342543DE82EF95)
        made += numbers[place : whole + place]
        made ^= made >> np.uint64(29)
    ends = np.cumsum(sizes)
    inside = np.zeros(whole + 1, dtype=np.int8)
    full = counts > 0
    np.add.at(inside, (ends - sizes)[full], 1)
    np.add.at(inside, (ends - n + 1)[full], -1)
    return mixed(made[np.cumsum(inside[:-1]).astype(bool)]), counts


def grams(texts: Sequence[str], n: int, characters: bool = False) -> tuple[Any, Any]:
    """The n-grams of texts, with repetitions: uint64 (n-grams,), and how many each text has, at least one: int64.

    A text of fewer than n words or characters is one n-gram as a whole, so it only resembles equal ones.
    """
    import numpy as np

    numbers, sizes = letters(texts) if characters else words(texts)
    made, counts = runs(numbers, sizes, n)
    short = np.flatnonzero(counts == 0)
    if not len(short):
        return made, counts
    wholes = [_number(" ".join(texts[place].lower().split())) for place in short.tolist()]
    places = (np.cumsum(counts) - counts)[short]
    counts[short] = 1
    return np.insert(made, places, np.array(wholes, dtype=np.uint64)), counts


def loose_runs(texts: Sequence[str], n: int) -> tuple[Any, Any]:
    """The runs of n words of texts, equal up to case, punctuation and the form of a letter, as `runs` gives them."""
    return runs(*words(texts, loose=True), n)


def held(texts: Sequence[str], n: int, most: int) -> Any:
    """The runs of n words that some of these texts have, but not more than `most` of them: sorted, uint64 (m,).

    A run that more of them have is a template, such as an instruction that every problem ends with.
    """
    import numpy as np

    numbers, counts = loose_runs(texts, n)
    if not len(numbers):
        return numbers
    owners = np.repeat(np.arange(len(texts), dtype=np.uint64), counts.astype(np.int64))
    pairs = np.unique(np.stack([numbers, owners], axis=1), axis=0)
    known, times = np.unique(pairs[:, 0], return_counts=True)
    return known[times <= most]


def marks(keys: Iterable[str]) -> Any:
    """A number for each key, the same in every process: a numpy array of uint64 (keys,)."""
    import numpy as np

    made = [hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest() for key in keys]
    return np.frombuffer(b"".join(made), dtype="<u8").astype(np.uint64)


def in_parts(texts: Iterable[str]) -> Iterator[list[str]]:
    """The texts in parts of AT_ONCE texts and LETTERS characters at most, or of one long text."""
    part, letters = list[str](), 0
    for text in texts:
        if part and (len(part) == AT_ONCE or letters + len(text) > LETTERS):
            yield part
            part, letters = [], 0
        part.append(text)
        letters += len(text)
    if part:
        yield part


def mixed(numbers: Any) -> Any:
    """Each number spread over all 64 bits: the finalizer of splitmix64, Steele et al., 2014."""
    import numpy as np

    made = numbers + np.uint64(_STEP)
    made ^= made >> np.uint64(30)
    made *= np.uint64(0xBF58476D1CE4E5B9)
    made ^= made >> np.uint64(27)
    made *= np.uint64(0x94D049BB133111EB)
    made ^= made >> np.uint64(31)
    return made


def _together(parts: Sequence[tuple[Any, Any]]) -> tuple[Any, Any]:
    """The numbers and the sizes of several parts."""
    import numpy as np

    empty = (np.zeros(0, dtype=np.uint64), np.zeros(0, dtype=np.int64))
    numbers, sizes = zip(*(parts or [empty]), strict=True)
    return np.concatenate(numbers), np.concatenate(sizes)


def _plain(text: str) -> str:
    folded = text if text.isascii() else unicodedata.normalize("NFKC", text)
    return folded.casefold().translate(_MARKS)


def _numbered(units: Sequence[list[str]]) -> tuple[Any, Any]:
    """The numbers of all words, and how many each text has.

    A word's number is its bytes as a polynomial modulo 2^64, from sums over the bytes of all texts together.
    """
    import numpy as np

    sizes = np.fromiter(map(len, units), dtype=np.int64, count=len(units))
    raw = "".join([" ".join(one) + " " for one in units if one]).encode("utf-8", "surrogatepass")
    if not raw:
        return np.zeros(0, dtype=np.uint64), sizes
    letter = np.frombuffer(raw, dtype=np.uint8)
    ends = np.flatnonzero(letter == 32)
    starts = np.concatenate([[0], ends[:-1] + 1])
    sums = np.zeros(len(letter) + 1, dtype=np.uint64)
    np.cumsum((letter + np.uint64(1)) * _powers(_BASE, len(letter)), out=sums[1:])
    inverse = _powers(pow(_BASE, -1, 1 << 64), len(letter))
    return mixed((sums[ends] - sums[starts]) * inverse[starts] + (ends - starts).astype(np.uint64)), sizes


def _powers(base: int, count: int) -> Any:
    """base^0, base^1, ... modulo 2^64: uint64 (count,)."""
    import numpy as np

    if base in _known and len(_known[base]) >= count:
        return _known[base][:count]
    steps = np.full(max(count, 2 * LETTERS), base, dtype=np.uint64)
    steps[0] = 1
    made = np.cumprod(steps)
    if count <= 2 * LETTERS:
        _known[base] = made
    return made[:count]


def _number(text: str) -> int:
    """64 bits of a text, the same in every process."""
    raw = text.encode("utf-8", "surrogatepass")
    return zlib.crc32(raw) << 32 | zlib.adler32(raw)
