"""Keep one of several records whose texts are nearly equal.

Idea: copies with small changes count many times in training, and teach little after the first.
Survey: de-duplication, section 3.2.1.
Paper: arXiv:2107.06499, Lee et al., 2021; MinHash by Broder, 1997, in 14 bands of 8 as datatrove cleans FineWeb.
Algorithm:
  1. The text of a record is all that a model would see or learn from it, apart from system messages; its n-grams are of
     words in lower case, or with `characters` of characters.
  2. Records that share a band of min-hashes are candidates.
  3. In the given order, drop a record whose n-grams have a Jaccard similarity of at least `similarity` with those of an
     earlier candidate that is kept.
Differs: the paper connects duplicates in chains and keeps one of each chain; here all that is dropped resembles
  something kept. Wrong for problems that differ only in their numbers, such as sums: use dedup there. Texts of fewer
  than `n` words are dropped only if they are equal.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from selfimprove.bounds import bounded
from selfimprove.interfaces import Arrays, Choice, Context, Pool, Portioned, chosen
from selfimprove.measures import shingles
from selfimprove.problems.overlap import text_of
from selfimprove.records import Record
from selfimprove.registry import register


@register("minhash_dedup", paper="2107.06499")
@dataclass
class MinhashDedup(Portioned):
    consumes: ClassVar[Any] = Record
    produces: ClassVar[Any] = Record
    similarity: float = bounded(0.8, 0, 1)
    """Least Jaccard similarity of two sets of n-grams at which the later record goes."""
    n: int = bounded(5, 1)
    """Words, or characters, of an n-gram."""
    characters: bool = False
    """Use n-grams of characters: for short texts, and for languages that put no spaces between words."""

    def select(self, records: Sequence[Any], context: Context) -> Sequence[Record]:
        return chosen(self, records, context)

    def read(self, records: Sequence[Any], known: Arrays) -> Arrays:
        return {"bands": shingles.bands_of(map(text_of, records), self.n, self.characters)}

    def choose(self, read: Arrays, pool: Pool, context: Context) -> Choice:
        def texts(places: Sequence[int]) -> Iterable[str]:
            return map(text_of, pool.at(places))

        twins = shingles.alike(read["bands"], texts, self.n, self.similarity, self.characters)
        gone = {place for place, _, _ in twins}
        context.log.metric("minhash_dedup/dropped", len(gone))
        return Choice(stay=[place for place in range(pool.size) if place not in gone], twins=twins)
