"""Keep records so that each record of the pool is near to a kept one.

Idea: a pool is covered when nothing in it is far from what is trained on; copies and common kinds need few records.
Survey: one-shot scoring by diversity, section 3.2.1.
Paper: arXiv:1708.00489 (core-set), Sener and Savarese, 2017: greedy k-center, by Gonzalez, 1985.
Algorithm:
  1. The vector of a record is that of all its text apart from system messages, of length 1.
  2. The first choice is the record nearest to the mean of all.
  3. Choose the record whose nearest chosen one is farthest, until `share` of the records are chosen.
  4. Return them in the given order.
Differs: the paper starts from the labelled data and uses the last layer of a network in training. What is farthest may
  be noise: filter first. Distances are looked up lazily, with the same result, so 100,000 records take minutes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from selfimprove.inference.record_vectors import Covering
from selfimprove.measures import spread
from selfimprove.registry import register


@register("k_center", paper="1708.00489")
@dataclass
class KCenter(Covering):
    def covering(self, rows: Any, wanted: int, seed: int) -> Sequence[int]:
        return spread.k_center(rows, wanted)
