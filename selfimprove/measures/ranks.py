"""Which records a score keeps, so that the order of a pool decides nothing.

Equal scores are told apart by the records' ids. Records come back in the order in which they were given.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from selfimprove.records import Made


def by_id(records: Sequence[Made]) -> list[int]:
    """The places of records in the order of their ids: where something is drawn, it is drawn in this order."""
    return sorted(range(len(records)), key=lambda place: records[place].id)


def highest(records: Sequence[Made], scores: Sequence[float | None], wanted: int) -> list[Made]:
    """The `wanted` records of the highest scores; those without a score, None or nan, are never kept."""
    ranked = [
        (-score, record.id, place)
        for place, (record, score) in enumerate(zip(records, scores, strict=True))
        if score is not None and not math.isnan(score)
    ]
    return kept(records, [place for _, _, place in sorted(ranked)[: max(0, wanted)]])


def kept(records: Sequence[Made], places: Sequence[int]) -> list[Made]:
    """The records at these places, in the order in which they were given."""
    return [records[place] for place in sorted(places)]
