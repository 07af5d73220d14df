"""Keep one of several records that a model's hidden states, or their n-grams, hardly tell apart.

Idea: paraphrases share no n-grams, but a model sees that they say the same.
Survey: de-duplication, section 3.2.1.
Paper: arXiv:2303.09540 (SemDeDup), Abbas et al., 2023.
Algorithm:
  1. The vector of a record is that of all its text apart from system messages, of length 1.
  2. k-means into `clusters`, by default the root of the number of records.
  3. Go through each cluster from the record farthest from its center to the nearest; drop a record whose cosine with an
     earlier one, dropped or not, is above `similarity`.
  4. Return the rest in the given order.
Differs: the paper has 50,000 clusters for web-scale data. Which similarity means the same depends on the vectors: look
  at what is dropped. Vectors hardly see numbers, so where problems differ only in these, use dedup. semhash does the
  same with an encoder of its own, which it downloads.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from selfimprove.bounds import bounded
from selfimprove.inference import record_vectors
from selfimprove.interfaces import Context, Selection
from selfimprove.measures import ranks, spread
from selfimprove.needs import Needs
from selfimprove.records import Record
from selfimprove.registry import register


@register("semantic_dedup", paper="2303.09540")
@dataclass
class SemanticDedup(Selection):
    consumes: ClassVar[Any] = Record
    produces: ClassVar[Any] = Record
    similarity: float = bounded(0.95, -1, 1)
    """Cosine above which the later record goes."""
    clusters: int | None = bounded(None, 1)
    """Clusters in which records are compared; null takes the root of their number."""
    vectors: str = "model"
    """Vectors of the texts: the `model`'s own hidden states, or `ngrams` of characters, without a model."""

    def __post_init__(self) -> None:
        record_vectors.check(self.vectors, "selection.semantic_dedup.vectors")

    def needs(self) -> Needs:
        return record_vectors.needs(self.vectors)

    def select(self, records: Sequence[Any], context: Context) -> Sequence[Record]:
        import numpy as np

        order = ranks.by_id(records)
        rows = record_vectors.vectors([records[place] for place in order], context.policy, self.vectors)
        clusters = self.clusters or max(1, round(math.sqrt(len(rows))))
        own, centers = spread.k_means(rows, clusters, context.seed)
        chosen = list[int]()
        for cluster in range(len(centers) if len(rows) else 0):
            places = np.flatnonzero(own == cluster)
            far = 1 - rows[places] @ centers[cluster]
            places = places[np.argsort(-far, kind="stable")]
            chosen += [int(place) for place in places[alone(rows[places], self.similarity)]]
        context.log.metric("semantic_dedup/dropped", len(records) - len(chosen))
        return ranks.kept(records, [order[place] for place in chosen])


def alone(rows: Any, similarity: float) -> Any:
    """Whether each row (n, width) has no earlier one with a larger cosine; a block of rows at a time."""
    import numpy as np

    stay = np.ones(len(rows), dtype=bool)
    for at in range(0, len(rows), 1024):
        block = rows[at : at + 1024]
        near = block @ rows[: at + len(block)].T
        earlier = np.arange(near.shape[1]) < (at + np.arange(len(block)))[:, None]
        stay[at : at + len(block)] = ~((near > similarity) & earlier).any(1)
    return stay
