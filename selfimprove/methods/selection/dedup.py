"""Keep one of several equal records.

Idea: a solution that was sampled several times should count once in training.
Survey: de-duplication, section 3.2.1.
Paper: arXiv:2107.06499, Lee et al., 2021 (exact duplicates); per problem as in RFT, arXiv:2308.01825.
Algorithm:
  1. Two records are equal if their problem keys, the messages that the model was shown, and their texts are equal, up
     to white space. So corrections of different attempts, and judgements of them, stay.
  2. Two problems are equal if their keys are equal, whatever their wording. Keep the first of each.
Differs: exact duplicates only; near duplicates by MinHash are another method, and wrong for short numeric tasks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from selfimprove.interfaces import Context, Selection
from selfimprove.records import Document, Preference, Prompt, Record, Rollout
from selfimprove.registry import register


@register("dedup", paper="2107.06499")
@dataclass
class Dedup(Selection):
    consumes: ClassVar[Any] = Record
    produces: ClassVar[Any] = Record

    def select(self, records: Sequence[Any], context: Context) -> Sequence[Record]:
        first: dict[tuple[str, ...], Record] = {}
        for record in records:
            first.setdefault(_content(record), record)
        return list(first.values())


def _content(record: Record) -> tuple[str, ...]:
    match record:
        case Document():
            return (_fold(record.text),)
        case Prompt():
            return (record.key,)
        case Rollout():
            return (*_shown(record.prompt), _fold(record.text))
        case Preference():
            sides = (_fold(side[-1]["content"]) for side in (record.chosen, record.rejected))
            return (*_shown(record.prompt), *sides)


def _shown(prompt: Prompt) -> tuple[str, ...]:
    """The problem's key and what the model was shown of it."""
    said = (part for message in prompt.prompt for part in (message["role"], _fold(message["content"])))
    return (prompt.key, *said, "")


def _fold(text: str) -> str:
    return " ".join(text.split())
