"""The training data of earlier rounds, for methods that train on it again; stored beside the weights of each round."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from selfimprove.interfaces import Context
from selfimprove.records import read_records, write_records

DATA = "data.jsonl"


def replayed(records: Sequence[Any], context: Context) -> list[Any]:
    """The records of earlier rounds, back to the last round that stored none, followed by this round's.

    Also stores this round's records for later rounds. A round stores none if it trained with another method or without
    replay, before the recipe of the run was changed.
    """
    rows, earlier = list(records), None
    if context.previous is not None:
        if (context.previous / DATA).exists():
            earlier = context.previous / DATA
            rows = [*read_records(earlier), *rows]
        else:
            number = context.round - 1
            context.log.note(
                f"round {number} stored no training data, so the data of rounds before {number + 1} is left out"
            )
    write_records(context.folder / DATA, records, after=earlier)
    return rows
