"""Documents from files: a table with a text column, a folder of texts, or a data set of the hub.

Idea: most of what a model knows comes from texts that nobody wrote as problems; chosen and rewritten, they are data for
  language modeling.
Survey: static curation, section 2.2.
Paper: none; the form of ROOTS, arXiv:2303.03915, Laurençon et al., 2023, and its like.
Algorithm:
  1. Read all texts of `path`, one at a time. `text` says what a row of a table gives: columns in braces.
  2. Normalize: Unicode NFC, no control characters, no space around it; drop and count texts that are empty.
  3. Take the `documents` texts with the smallest sha256 of the round's seed and the text. So which ones are taken, and
     in which order, does not depend on the order of rows or on the form of the file.
  4. A round of a run draws others than the one before; a corpus that has fewer gives all of them each time.
Differs: nothing to compare with. Packed JSON lines are unpacked while they are read; Parquet is read a file at a time.
"""

from __future__ import annotations

import hashlib
import heapq
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, ClassVar

from selfimprove.bounds import bounded
from selfimprove.costs import Flow, Given
from selfimprove.errors import DataError
from selfimprove.interfaces import REQUIRED, Acquisition, Context
from selfimprove.problems import corpus
from selfimprove.records import Document, Record
from selfimprove.registry import register


@register("corpus")
@dataclass
class Corpus(Acquisition):
    consumes: ClassVar[Any] = None
    produces: ClassVar[Any] = Document
    path: str = REQUIRED
    """A file (.jsonl, .jsonl.gz, .csv, .parquet, ...; of another one the parts between empty lines), a folder of such
    files and texts, or a hub id."""
    text: str = "{text}"
    """What a row gives: columns in braces, with text between them, such as "{title}\\n\\n{body}"."""
    documents: int = bounded(10_000, 1)
    """Documents of a round."""
    skip_bad: int = bounded(0, 0)
    """Rows that may be skipped because they cannot be read; one more is an error."""
    split: str = "train"
    """The split of a data set of the hub."""
    config: str | None = None
    """The configuration of a data set of the hub."""
    revision: str | None = None
    """The revision of a data set of the hub; set it, so that a later run reads the same."""

    def preflight(self) -> list[str]:
        source = self._source()
        if corpus.is_id(self.path):  # the hub is asked when the run reads it
            return []
        if not [*islice(source, 1)]:
            raise DataError(f"{self.path} contains no document")
        return []

    def gives(self, given: Given) -> Flow:
        return Flow(self.documents, self.documents)

    def acquire(self, records: Sequence[Any], context: Context) -> Sequence[Record]:
        source, taken = self._source(), list[tuple[int, int, str, dict[str, Any]]]()
        for number, (found, place) in enumerate(source):
            text = unicodedata.normalize("NFC", found)
            rank = -int.from_bytes(hashlib.sha256(f"{context.seed}\0{text}".encode(errors="replace")).digest()[:12])
            entry = (rank, -number, text, place)  # the heap has the largest hash on top
            if len(taken) < self.documents:
                heapq.heappush(taken, entry)
            elif entry > taken[0]:
                heapq.heapreplace(taken, entry)
        if not taken:
            raise DataError(f"{self.path} contains no document")
        for name in ("read", "blank", "skipped"):
            context.log.metric(f"corpus/{name}", source.counts[name])
        left_out = source.counts["blank"] + source.counts["skipped"]
        if left_out and context.round == 1:
            context.log.note(f"{self.path}: {left_out} of {source.counts['read']} have no text or cannot be read")
        texts = sorted(taken, reverse=True)
        context.log.metric("corpus/characters", sum(len(text) for _, _, text, _ in texts))
        return [Document(text=text, info=place) for _, _, text, place in texts]

    def _source(self) -> corpus.Corpus:
        return corpus.Corpus(
            "acquisition.corpus", self.path, self.text, self.split, self.config, self.revision, self.skip_bad
        )
