"""Resample records so that their n-grams are distributed as those of a target.

Idea: of a large mixed pool, train on what resembles the problems that matter; counts of n-grams tell, without a model.
Survey: one-shot scoring, section 3.2.1.
Paper: arXiv:2302.03169 (DSIR), Xie et al., 2023.
Algorithm:
  1. The features of a text are its unigrams and bigrams of lower-case words and punctuation, hashed into `buckets`.
  2. p is their distribution over the target, `problems` of the selection split, with `smoothing` added to each count;
     q that over all records. The log-weight of a record is the sum over its features of log(p + 1e-8) - log(q + 1e-8).
  3. Draw `share` of the records without replacement in proportion to their weights: the largest values of log-weight
     plus Gumbel noise. Return them in the given order.
Differs: the text of a record is its problem, or a document, because the target has no solutions that may be read;
  records of one problem have one weight and noises of their own. The paper's code uses SHA-256, no smoothing, and
  drops texts under 100 tokens; a target of a few hundred problems needs `smoothing`. The log-weight grows with length;
  `per_feature` divides by the number of features.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from selfimprove.bounds import bounded
from selfimprove.costs import Flow, Given
from selfimprove.interfaces import Context, Selection
from selfimprove.problems.overlap import posed
from selfimprove.records import Document, Prompt, Record
from selfimprove.registry import register

_TOKEN = re.compile(r"\w+|[^\w\s]+")


@register("dsir", paper="2302.03169")
@dataclass
class Dsir(Selection):
    consumes: ClassVar[Any] = Record
    produces: ClassVar[Any] = Record
    share: float = bounded(0.5, 0, 1)
    """Share of the records to keep."""
    problems: int = bounded(256, 1)
    """Problems of the selection split that are the target."""
    buckets: int = bounded(10_000, 2)
    """Buckets that n-grams are hashed into."""
    smoothing: float = bounded(0.01, 0)
    """Added to the target's count in each bucket."""
    characters: bool = False
    """Use n-grams of 2 to 4 characters instead of 1 to 2 words: for short problems."""
    per_feature: bool = False
    """Divide a log-weight by the number of its features, so that length does not decide."""

    def gives(self, given: Given) -> Flow:
        came = given.flow
        return Flow(round(self.share * came.records), came.prompts, came.group)

    def select(self, records: Sequence[Any], context: Context) -> Sequence[Record]:
        import numpy as np

        wanted = round(self.share * len(records))
        target = [self._counts(posed(one.prompt)) for one in context.selection(self.problems)]
        if not wanted or not target:
            return [] if not wanted else records
        rows: dict[str, Any] = {}
        for text in map(_text, records):
            if text not in rows:
                rows[text] = self._counts(text)
        p = _distribution(target, self.buckets, self.smoothing)
        q = _distribution([rows[_text(record)] for record in records], self.buckets, 0.0)
        ratio = np.log(p + 1e-8) - np.log(q + 1e-8)
        known = {text: self._weight(row, ratio) for text, row in rows.items()}
        weights = np.array([known[_text(record)] for record in records])
        keys = weights + np.random.default_rng(context.seed).gumbel(size=len(weights))
        stay = np.sort(np.argsort(-keys, kind="stable")[:wanted])
        context.log.metric("dsir/log_weight", float(weights[stay].mean() - weights.mean()))
        return [records[place] for place in stay]

    def _counts(self, text: str) -> Any:
        """The bucket of each feature of a text: a numpy array of integers."""
        import numpy as np

        units = list(text.lower()) if self.characters else _TOKEN.findall(text.lower())
        sizes = (2, 3, 4) if self.characters else (1, 2)
        grams = ["\0".join(units[at : at + n]) for n in sizes for at in range(len(units) - n + 1)]
        return np.array([zlib.crc32(gram.encode("utf-8", "surrogatepass")) % self.buckets for gram in grams], dtype=int)

    def _weight(self, row: Any, ratio: Any) -> float:
        total = float(ratio[row].sum())
        return total / max(1, len(row)) if self.per_feature else total


def _text(record: Record) -> str:
    if isinstance(record, Document):
        return record.text
    return posed(record.prompt if isinstance(record, Prompt) else record.prompt.prompt)


def _distribution(rows: Sequence[Any], buckets: int, smoothing: float) -> Any:
    """The share of each bucket among all features; uniform if there are none."""
    import numpy as np

    counts = np.bincount(np.concatenate(rows), minlength=buckets) + smoothing
    return counts / counts.sum() if counts.sum() else np.full(buckets, 1 / buckets)
