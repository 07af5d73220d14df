"""Who made a record and from what: the step that ran the method signs it, so that no method has to.

A record without a `source` is new: it gets `method@round`, and, where it answers a prompt and its method named no
parents, the id of that prompt. What only the method knows it says itself: parents other than the prompt, and
`source=""` on a copy of an old record that it made into a new one. A record that has a source was passed on, and stays
as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from selfimprove.interfaces import Acquisition, Context, Selection
from selfimprove.records import Preference, Record, Rollout


def acquired(methods: Mapping[str, Acquisition], given: Context) -> Sequence[Record]:
    """What a chain of acquisitions made, each of the records of the one before it."""
    return _chained({name: (method, method.acquire) for name, method in methods.items()}, [], given)


def selected(methods: Mapping[str, Selection], records: Sequence[Record], given: Context) -> Sequence[Record]:
    """What a chain of selections left of records, or made of them."""
    return _chained({name: (method, method.select) for name, method in methods.items()}, records, given)


def signed(records: Sequence[Record], method: str, number: int) -> list[Record]:
    """Records as a method of round `number` returned them, the new ones with source and parents."""
    return [record if record.source else _sign(record, f"{method}@{number}") for record in records]


def _chained(
    chain: Mapping[str, tuple[Any, Callable[[Sequence[Any], Context], Sequence[Record]]]],
    records: Sequence[Record],
    given: Context,
) -> Sequence[Record]:
    for name, (method, verb) in chain.items():
        records = signed(verb(records, given.held(method)), name, given.round)
    return records


def _sign(record: Record, source: str) -> Record:
    if isinstance(record, Rollout | Preference):
        return replace(record, source=source, parents=record.parents or (record.prompt.id,))
    return replace(record, source=source)
