"""How close a completion is to the centre of the largest cluster of samples: a vote for free text.

Idea: free texts are never exactly equal, but good ones are similar to each other; outliers are bad.
Survey: consensus rewards, section 4.3.2.
Paper: arXiv:2509.23067 (Semantic Voting), Jiang et al., 2025.
Algorithm:
  1. Each completion, or its final answer if it has one, becomes a unit vector.
  2. Texts with a cosine of at least `similarity` are linked; the largest linked set is the cluster.
  3. The reward of a member is the cosine to the cluster's mean vector, of all others None; None for all if the cluster
     has fewer than `min_cluster` members.
Differs: the paper encodes with SimCSE and clusters with HDBSCAN; here vectors are TF-IDF of character n-grams up to 3
  within the group, so that nothing is downloaded, and the similarity threshold is our choice. The smallest cluster of 5
  is from the paper's code. For pairs of best and worst use the selection best_vs_worst.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from selfimprove.interfaces import Context, Reward
from selfimprove.records import Rollout
from selfimprove.registry import register

Vector = dict[str, float]


@register("semantic_vote", paper="2509.23067")
@dataclass
class SemanticVote(Reward):
    similarity: float = 0.5
    """Smallest cosine of two linked texts."""
    min_cluster: int = 5
    """Smallest size of the largest cluster."""

    def rate(self, groups: Sequence[Sequence[Rollout]], context: Context) -> list[list[float | None]]:
        return [self._vote([context.answer_of(r.text) or r.text for r in group]) for group in groups]

    def _vote(self, texts: list[str]) -> list[float | None]:
        vectors = _encode(texts)
        cluster = self._largest(vectors)
        if len(cluster) < self.min_cluster:
            return [None] * len(texts)
        middle: Vector = {}
        for place in sorted(cluster):
            for gram, value in vectors[place].items():
                middle[gram] = middle.get(gram, 0.0) + value
        middle = _unit(middle)
        return [_cosine(vector, middle) if place in cluster else None for place, vector in enumerate(vectors)]

    def _largest(self, vectors: list[Vector]) -> set[int]:
        """The largest set of texts that are linked directly or through others; the first among equals."""
        left, largest = dict.fromkeys(place for place, vector in enumerate(vectors) if vector), set[int]()
        while left:
            found = [next(iter(left))]
            left.pop(found[0])
            for place in found:  # the list grows during the loop
                near = [other for other in left if _cosine(vectors[place], vectors[other]) >= self.similarity - 1e-9]
                found += near
                for other in near:
                    left.pop(other)
            if len(found) > len(largest):
                largest = set(found)
        return largest


def _encode(texts: list[str]) -> list[Vector]:
    """Unit vectors of TF-IDF over character n-grams of 1 to 3, edges included; an empty text has none."""
    counts = [
        Counter(f" {t} "[i : i + n] for n in (1, 2, 3) for i in range(len(t) + 3 - n)) if t else {} for t in texts
    ]
    spread = Counter(gram for count in counts for gram in count)
    rarity = {gram: math.log((1 + len(texts)) / (1 + df)) + 1 for gram, df in spread.items()}
    return [_unit({gram: n * rarity[gram] for gram, n in count.items()}) for count in counts]


def _unit(vector: Vector) -> Vector:
    norm = math.sqrt(sum(value * value for value in vector.values()))
    return {gram: value / norm for gram, value in vector.items()} if norm else {}


def _cosine(one: Vector, other: Vector) -> float:
    return sum(value * other.get(gram, 0.0) for gram, value in one.items())
