"""Keep one of several equal records.

Idea: a solution that was sampled several times should count once in training.
Survey: de-duplication, section 3.2.1.
Paper: arXiv:2107.06499, Lee et al., 2021 (exact duplicates); per problem as in RFT, arXiv:2308.01825.
Algorithm:
  1. Two records are equal if their problem keys, the messages that the model was shown, and their texts are equal, up
     to white space. So corrections of different attempts, and judgements of them, stay.
  2. Two problems are equal if their keys are equal, whatever their wording. Keep the first of each.
  3. With `loose`, texts are equal up to case, the form of a letter, and punctuation around words, too.
Differs: exact duplicates only; near duplicates by MinHash are another method, and wrong for short numeric tasks.
  Contents are compared by their first 128 bits of BLAKE2b.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from selfimprove.interfaces import Arrays, Choice, Context, Pool, Portioned, chosen
from selfimprove.problems.overlap import loose
from selfimprove.records import Document, Preference, Prompt, Record, Rollout
from selfimprove.registry import register


@register("dedup", paper="2107.06499")
@dataclass
class Dedup(Portioned):
    consumes: ClassVar[Any] = Record
    produces: ClassVar[Any] = Record

    loose: bool = False
    """Texts that differ only in case, the form of a letter, or punctuation around words are equal."""

    def select(self, records: Sequence[Any], context: Context) -> Sequence[Record]:
        return chosen(self, records, context)

    def read(self, records: Sequence[Any], known: Arrays) -> Arrays:
        import numpy as np

        raw = b"".join(_digest(_content(record, self.loose)) for record in records)
        return {"content": np.frombuffer(raw, dtype=np.uint64).reshape(-1, 2)}

    def choose(self, read: Arrays, pool: Pool, context: Context) -> Choice:
        import numpy as np

        one, other = np.transpose(read["content"])
        order = np.lexsort((other, one))  # stable, so the first of equal ones leads them
        new = np.ones(pool.size, dtype=bool)
        new[1:] = (np.diff(one[order]) != 0) | (np.diff(other[order]) != 0)
        first = np.empty(pool.size, dtype=np.int64)
        first[order] = order[new][np.cumsum(new) - 1] if pool.size else order
        gone = np.flatnonzero(first != np.arange(pool.size))
        twins = [(place, kept, 1.0) for place, kept in zip(gone.tolist(), first[gone].tolist(), strict=True)]
        return Choice(stay=np.sort(order[new]).tolist(), twins=twins)


def _digest(content: tuple[str, ...]) -> bytes:
    raw = json.dumps(content).encode()  # tells ("a b",) from ("a", "b")
    return hashlib.blake2b(raw, digest_size=16).digest()


def _content(record: Record, any_form: bool) -> tuple[str, ...]:
    fold = loose if any_form else _fold
    match record:
        case Document():
            return ("Document", fold(record.text))
        case Prompt():
            return ("Prompt", *(_shown(record, any_form) if any_form else (record.key,)))
        case Rollout():
            return ("Rollout", *_shown(record.prompt, any_form), fold(record.text))
        case Preference():
            sides = (fold(side[-1]["content"]) for side in (record.chosen, record.rejected))
            return ("Preference", *_shown(record.prompt, any_form), *sides)


def _shown(prompt: Prompt, any_form: bool) -> tuple[str, ...]:
    """The problem's key, unless any form of it will do, and what the model was shown of it."""
    fold = loose if any_form else _fold
    said = (part for message in prompt.prompt for part in (message["role"], fold(message["content"])))
    return ("" if any_form else prompt.key, *said, "")


def _fold(text: str) -> str:
    return " ".join(text.split())
