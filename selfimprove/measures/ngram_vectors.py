"""Texts as vectors without a model: counts of character n-grams, hashed into signed buckets.

Feature hashing (arXiv:0902.2206): the inner product of two hashed vectors is that of their counts, up to an error that
falls with the root of `WIDTH`. Counts enter as 1 + log(count), and each vector gets length 1, so that the inner product
of two is a cosine. Texts that say the same in other words are far apart, unlike in the vectors of a model.
"""

from __future__ import annotations

import math
import zlib
from collections import Counter
from collections.abc import Sequence
from typing import Any

WIDTH = 256
"""Buckets."""
N = 3
"""Characters of an n-gram; a shorter text is one."""


def embed(texts: Sequence[str]) -> Any:
    """(texts, WIDTH) in float32, of length 1; a text without characters gives 0. Case does not count."""
    import numpy as np

    made = np.zeros((len(texts), WIDTH), dtype=np.float32)
    for row, text in zip(made, texts, strict=True):
        low = text.lower()
        grams = Counter(low[at : at + N] for at in range(max(1, len(low) - N + 1))) if low else {}
        for gram, count in grams.items():
            place = zlib.crc32(gram.encode("utf-8", "surrogatepass"))
            row[(place >> 1) % WIDTH] += (1 + math.log(count)) * (1 if place & 1 else -1)
    return made / np.maximum(np.linalg.norm(made, axis=1, keepdims=True), 1e-12)
