"""New documents from old ones by a model of how documents relate: it learns to write one from its neighbour.

Idea: language modeling learns what follows what within a document, and nothing of what documents have in common. A
  model that writes a document given a near one has to learn it, and what it writes is new data on the same matters.
Survey: transformation-based generation, section 2.4.2.
Paper: arXiv:2509.15248 (Synthetic Bootstrapped Pretraining), Yang et al., 2025.
Algorithm:
  1. Embed all documents. Each is paired with its nearest others whose cosine lies in `near`, at most `neighbours` of
     them: above the band they are copies, below it they have nothing to do with each other.
  2. Train a copy of the weights to write the second document of a pair, given the first, for `max_steps` steps.
  3. The copy writes a document from each of `documents` random ones; those that were cut off, are empty, or repeat a
     document or each other letter for letter are dropped.
  4. Return the documents and the new ones.
Differs: the paper pairs by approximate nearest neighbours over a pre-training corpus, and trains the synthesizer from
  the pre-trained weights; here neighbours are exact, in blocks, and cosines are those of the policy's own embeddings
  around their mean. The copy lives for this step only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, ClassVar

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Flow, Given
from selfimprove.errors import DataError, RecipeError
from selfimprove.inference import record_vectors, rewrites
from selfimprove.interfaces import Acquisition, Context, Sampling
from selfimprove.needs import Needs
from selfimprove.records import Document, Record, Rollout
from selfimprove.registry import register
from selfimprove.training import Schedule

_BLOCK = 1024


@register("synthetic_bootstrapped_pretraining", paper="2509.15248")
@dataclass
class SyntheticBootstrappedPretraining(Acquisition):
    consumes: ClassVar[Any] = Document
    produces: ClassVar[Any] = Document
    documents: int = bounded(1000, 1)
    """New documents to draw."""
    neighbours: int = bounded(4, 1)
    """Most neighbours of a document that it is paired with."""
    near: list[float] = field(default_factory=lambda: [0.5, 0.99])
    """Least and most cosine of a pair."""
    vectors: str = "model"
    """What nearness is measured by: embeddings of the `model`, or `ngrams` of characters."""
    words: str = "{document}\n\n"
    """How the first document of a pair is shown."""
    max_steps: int = bounded(200, 1)
    """Optimizer steps of the copy."""
    batch: int = bounded(16, 1)
    """Pairs of a step."""
    learning_rate: float = bounded(1e-5, 0, 100)
    """Learning rate of the copy."""
    temperature: float = bounded(1.0, 0, 100)
    """Sampling temperature of the new documents."""
    keep: bool = True
    """Return the documents too."""

    def __post_init__(self) -> None:
        rewrites.check(self.words, "acquisition.synthetic_bootstrapped_pretraining")
        record_vectors.check(self.vectors, "acquisition.synthetic_bootstrapped_pretraining.vectors")
        if len(self.near) != 2:
            raise RecipeError(
                "acquisition.synthetic_bootstrapped_pretraining.near are two cosines, such as [0.5, 0.99]"
            )

    def needs(self) -> Needs:
        return record_vectors.needs(self.vectors) + Needs(engine=("copies",))

    def cost(self, given: Given) -> Cost:
        return given.draw(self.documents) + Cost(copies=1, steps=self.max_steps)

    def gives(self, given: Given) -> Flow:
        n = given.flow.records * self.keep + self.documents
        return Flow(n, n)

    def acquire(self, records: Sequence[Any], context: Context) -> Sequence[Record]:
        kept = list(records) if self.keep else []
        if not records:
            return []
        rows = record_vectors.vectors(records, context.policy, self.vectors)
        pairs = nearest(rows, self.neighbours, *self.near)
        context.log.metric("sbp/pairs", len(pairs))
        if not pairs:
            raise DataError(
                f"no two of {len(records)} documents have a cosine of {self.near[0]:g} to {self.near[1]:g}; widen "
                "acquisition.synthetic_bootstrapped_pretraining.near"
            )
        taught = [
            Rollout(
                prompt=rewrites.asked(records[one], self.words),
                completion=[{"role": "assistant", "content": records[other].text}],
            )
            for one, other in pairs
        ]
        schedule = Schedule(
            learning_rate=self.learning_rate,
            max_steps=self.max_steps,
            per_device_train_batch_size=min(self.batch, len(taught)),
            seed=context.seed,
        )
        seeds = Random(context.seed).choices(list(records), k=self.documents)
        with context.policy.adapted(taught, schedule) as copy:
            prompts = [rewrites.asked(one, self.words) for one in seeds]
            replies = [reply for [reply] in copy.sample(prompts, 1, Sampling(temperature=self.temperature))]
        known, made = {one.text for one in records}, list[Document]()
        for source, reply in zip(seeds, replies, strict=True):
            text = reply.text.strip()
            if text and not reply.truncated and text not in known:
                known.add(text)
                made.append(Document(text=text, parents=(source.id,), info={"role": "write"}))
        context.log.metric("sbp/kept", len(made) / len(replies))
        return [*kept, *made]


def nearest(rows: Any, most: int, low: float, high: float) -> list[tuple[int, int]]:
    """(one, other) for each row and its nearest others with a cosine from `low` to `high`.

    Args:
        rows: vectors of length 1 (n, width).
        most: neighbours of a row.
    """
    import numpy as np

    found = list[tuple[int, int]]()
    for start in range(0, len(rows), _BLOCK):
        near = rows[start : start + _BLOCK] @ rows.T
        near[np.arange(len(near)), np.arange(start, start + len(near))] = -np.inf
        near[(near < low) | (near > high + 1e-6)] = -np.inf
        for place, line in enumerate(near):
            for other in np.argsort(-line, kind="stable")[:most]:
                if line[other] > -np.inf:
                    found.append((start + place, int(other)))
    return found
