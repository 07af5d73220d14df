"""Keep the records that represent the whole pool best: each record counts by its most similar kept one.

Idea: unlike k-center, the sum of similarities asks for what is typical, so one outlier is worth little.
Survey: one-shot scoring by diversity, section 3.2.1.
Paper: arXiv:2402.00530 (Superfiltering, its step for diversity), Li et al., 2024; greedy by Nemhauser et al., 1978.
Algorithm:
  1. The vector of a record is that of all its text apart from system messages, of length 1; the similarity of two is
     (1 + cosine) / 2.
  2. Choose the record that adds most to the sum, over all records, of the similarity to the nearest chosen one.
  3. Repeat until `share` of the records are chosen; return them in the given order.
Differs: the paper applies it after a score, to embeddings of MiniLM: put a score before it in the chain. Gains are
  looked up lazily, with the same result. With more than `over` records the sum runs over so many of them, drawn at
  random; all can be chosen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from selfimprove.bounds import bounded
from selfimprove.inference.record_vectors import Covering
from selfimprove.measures import spread
from selfimprove.registry import register


@register("facility_location", paper="2402.00530")
@dataclass
class FacilityLocation(Covering):
    over: int = bounded(1024, 1)
    """Most records that the sum runs over."""

    def covering(self, rows: Any, wanted: int, seed: int) -> Sequence[int]:
        import numpy as np

        over = rows
        if len(rows) > self.over:
            over = rows[np.sort(np.random.default_rng(seed).permutation(len(rows))[: self.over])]
        return spread.facility_location(rows, wanted, over)
