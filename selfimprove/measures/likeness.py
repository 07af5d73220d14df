"""Near repetitions among texts: clusters of those that share most of their words in the same order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

ORDERS = 4
"""BLEU counts n-grams of up to so many words."""
MISS = 0.1
"""Matches that a length without any counts as, the smoothing `method1` of nltk."""
BLOCK = 4096
"""Texts that are compared with each other; more are clustered block by block."""


def clusters(texts: Sequence[str], similarity: float) -> list[int]:
    """The number of each text's cluster: average linkage on the distance 1 - BLEU, up to 1 - `similarity`.

    As in R-Zero (arXiv:2508.05004, code), where `similarity` is 0.5. The earlier text of a pair is the hypothesis.
    """
    import numpy
    from scipy.cluster.hierarchy import fcluster, linkage

    made, most = list[int](), 0
    for start in range(0, len(texts), BLOCK):
        block = texts[start : start + BLOCK]
        if len(block) == 1:
            names = [1]
        else:
            upper = numpy.triu_indices(len(block), 1)
            tree = linkage(1 - bleu(block)[upper], method="average")
            names = fcluster(tree, 1 - similarity + 1e-9, criterion="distance").tolist()
        made += [most + name for name in names]
        most += max(names)
    return made


def bleu(texts: Sequence[str]) -> Any:
    """BLEU of each text (row) as a hypothesis with each other one (column) as its only reference: a numpy array.

    Words are what white space separates; n-grams up to ORDERS have equal weights.
    """
    import numpy
    from scipy.sparse import csr_matrix

    words = [text.split() for text in texts]
    lengths = numpy.array([len(one) for one in words], dtype=numpy.float32)
    logs, common = (
        numpy.zeros((len(texts), len(texts)), dtype=numpy.float32),
        numpy.zeros((len(texts), len(texts)), dtype=bool),
    )
    for n in range(1, ORDERS + 1):
        columns, rows, places = dict[Any, int](), list[int](), list[int]()
        for row, one in enumerate(words):
            seen = Counter[tuple[str, ...]]()
            for start in range(len(one) - n + 1):
                gram = tuple(one[start : start + n])
                seen[gram] += 1  # the k-th occurrence matches the k-th of the other text: that clips the counts
                rows.append(row)
                places.append(columns.setdefault((gram, seen[gram]), len(columns)))
        has = csr_matrix((numpy.ones(len(rows), numpy.float32), (rows, places)), (len(texts), max(1, len(columns))))
        matches = (has @ has.T).toarray()
        if n == 1:
            common = matches > 0
        possible = numpy.maximum(1.0, lengths - n + 1)[:, None]
        logs += numpy.log(numpy.where(matches > 0, matches, MISS) / possible) / ORDERS
    short = 1 - lengths[None, :] / numpy.maximum(lengths[:, None], 1.0)
    return numpy.where(common, numpy.exp(logs + numpy.minimum(short, 0.0)), 0.0) if len(texts) else logs
