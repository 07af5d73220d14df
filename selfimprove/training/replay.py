"""What earlier rounds trained on, for methods that train on it again; it lies beside the weights of each round."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from selfimprove.interfaces import Context
from selfimprove.records import read_records, write_records

DATA = "data.jsonl"


def replayed(records: Sequence[Any], context: Context) -> list[Any]:
    """This round's records behind those of all rounds before, back to the last one that kept none; kept for the next.

    A round keeps none where it trained by another method, or without replay, before the recipe of the run was changed.
    """
    rows = list(records)
    if context.previous is not None:
        if (context.previous / DATA).exists():
            rows = [*read_records(context.previous / DATA), *rows]
        else:
            number = context.round - 1
            context.log.note(
                f"round {number} kept no data to train on again: those before round {number + 1} are left out"
            )
    write_records(context.folder / DATA, rows)
    return rows
