"""Count what a chain of selections has left of planted rows; all rows pass.

Idea: precision and recall against the plant say what a selection finds, before any training does.
Survey: none; a bench of this project.
Paper: none.
Algorithm:
  1. `info` of a row that acquisition.planted made says what it is and how many of each kind the pool had.
  2. For each kind `planted_tally/recall_KIND` is the share of its rows that are no longer there.
  3. `planted_tally/precision` is the share of planted rows among all that are no longer there.
Differs: nothing to compare with.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from selfimprove.interfaces import Context, Selection
from selfimprove.records import Record, Rollout
from selfimprove.registry import register


@register("planted_tally")
@dataclass
class PlantedTally(Selection):
    def select(self, records: Sequence[Any], context: Context) -> Sequence[Record]:
        for name, value in found(records).items():
            context.log.metric(f"planted_tally/{name}", value)
        return records


def found(kept: Sequence[Rollout]) -> dict[str, float]:
    """Precision, and recall of each kind, of what was dropped; nothing if no row was planted."""
    rows = [one for one in kept if "plants" in one.info]
    if not rows:
        return {}
    before, left = Counter(rows[0].info["plants"]), Counter(one.info["plant"] for one in rows)
    dropped = before - left
    planted = dropped.total() - dropped["clean"]
    told = {f"recall_{kind}": dropped[kind] / count for kind, count in before.items() if kind != "clean"}
    told["kept_clean"] = left["clean"] / max(1, before["clean"])
    told["precision"] = planted / dropped.total() if dropped else 1.0
    return told
