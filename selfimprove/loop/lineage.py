"""The source and parents of records, which the step fills in, so that methods need not.

A record without a `source` is new: it gets `method@round` and, if it answers a prompt and has no parents, the id of
that prompt. A method sets what only it knows: parents other than the prompt, and `source=""` on a changed copy of an
old record. A record with a source was passed on and stays unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from selfimprove.interfaces import Acquisition, Context, Selection
from selfimprove.records import Preference, Record, Rollout, changed


def acquired(methods: Mapping[str, Acquisition], given: Context) -> Sequence[Record]:
    """The records that a chain of acquisitions made; each one takes the records of the previous."""
    return _chained({name: (method, method.acquire) for name, method in methods.items()}, [], given)


def selected(methods: Mapping[str, Selection], records: Sequence[Record], given: Context) -> Sequence[Record]:
    """The records that a chain of selections kept or made."""
    return _chained({name: (method, method.select) for name, method in methods.items()}, records, given)


def signed(records: Sequence[Record], method: str, number: int) -> list[Record]:
    """Records that a method returned in round `number`; new ones get source and parents."""
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
        return changed(record, source=source, parents=record.parents or (record.prompt.id,))
    return changed(record, source=source)
