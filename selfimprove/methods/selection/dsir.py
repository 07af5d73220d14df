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

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from selfimprove.bounds import bounded
from selfimprove.costs import Flow, Given
from selfimprove.interfaces import Arrays, Choice, Context, Pool, Portioned, chosen
from selfimprove.measures import ngrams
from selfimprove.problems.overlap import posed
from selfimprove.problems.pool_rows import records_in
from selfimprove.records import Document, Prompt, Record
from selfimprove.registry import register

AT_ONCE, TEXTS = 1 << 22, 1 << 14
"""Features, and texts, that are added up together."""


@register("dsir", paper="2302.03169")
@dataclass
class Dsir(Portioned):
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

    target: str | None = None
    """A file whose rows are the target, in place of problems of the selection split; columns as `select` reads them."""

    def select(self, records: Sequence[Any], context: Context) -> Sequence[Record]:
        return chosen(self, records, context)

    def known(self, context: Context) -> Arrays:
        self._goal(context)  # a target that cannot be read is told before the pool is
        return {}

    def read(self, records: Sequence[Any], known: Arrays) -> Arrays:
        import numpy as np

        numbers, sizes = self._features(list(map(_text, records)))
        small = np.uint16 if self.buckets <= 1 << 16 else np.uint32
        return {"buckets": numbers.astype(small), "sizes": sizes.astype(np.uint32)}

    def choose(self, read: Arrays, pool: Pool, context: Context) -> Choice:
        import numpy as np

        wanted = round(self.share * pool.size)
        goal = self._goal(context) if wanted else []
        if not wanted or not goal:
            return Choice(stay=range(pool.size) if wanted else [])
        p = _distribution(self._features(goal)[0], self.buckets, self.smoothing)
        q = _distribution(read["buckets"], self.buckets, 0.0)
        weights = _weights(read["buckets"], read["sizes"], np.log(p + 1e-8) - np.log(q + 1e-8))
        if self.per_feature:
            weights /= np.maximum(1, read["sizes"])
        keys = weights + np.random.default_rng(context.seed).gumbel(size=len(weights))
        stay = np.sort(np.argsort(-keys, kind="stable")[:wanted])
        context.log.metric("dsir/log_weight", float(weights[stay].mean() - weights.mean()))
        return Choice(stay=stay.tolist(), score=("log_weight", weights))

    def _goal(self, context: Context) -> list[str]:
        """The texts of the target."""
        if self.target is not None:
            return list(map(_text, records_in(Path(self.target), "selection.dsir.target")))
        return [posed(one.prompt) for one in context.selection(self.problems)]

    def _features(self, texts: Sequence[str]) -> tuple[Any, Any]:
        """The buckets of the features of some texts, int64 (features,), and how many each has, int64 (texts,)."""
        import numpy as np

        units, sizes = ngrams.letters(texts) if self.characters else ngrams.tokens(texts)
        kinds = [ngrams.runs(units, sizes, n) for n in ((2, 3, 4) if self.characters else (1, 2))]
        counts = np.stack([one for _, one in kinds])
        owner = np.concatenate([np.repeat(np.arange(len(texts)), one) for one in counts])
        numbers = np.concatenate([one for one, _ in kinds]) % np.uint64(self.buckets)
        return numbers[np.argsort(owner, kind="stable")].astype(np.int64), counts.sum(axis=0)


def _text(record: Record) -> str:
    if isinstance(record, Document):
        return record.text
    return posed(record.prompt if isinstance(record, Prompt) else record.prompt.prompt)


def _distribution(features: Any, buckets: int, smoothing: float) -> Any:
    """The share of each bucket among all features; uniform if there are none."""
    import numpy as np

    counts = np.full(buckets, smoothing)
    for first in range(0, len(features), AT_ONCE):
        counts += np.bincount(features[first : first + AT_ONCE], minlength=buckets)
    return counts / counts.sum() if counts.sum() else np.full(buckets, 1 / buckets)


def _weights(features: Any, sizes: Any, ratio: Any) -> Any:
    """For each text the sum of `ratio` over its features: float64 (texts,)."""
    import numpy as np

    ends, made = np.cumsum(sizes, dtype=np.int64), np.zeros(len(sizes))
    for first in range(0, len(sizes), TEXTS):
        own = np.repeat(np.arange(len(sizes[first : first + TEXTS])), sizes[first : first + TEXTS])
        begin, end = int(ends[first] - sizes[first]), int(ends[min(first + TEXTS, len(ends)) - 1])
        made[first : first + TEXTS] += np.bincount(own, ratio[features[begin:end]], len(made[first : first + TEXTS]))
    return made
