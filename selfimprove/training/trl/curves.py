"""The curves of a training run: what TRL's trainers logged on the way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def curve(history: Sequence[Mapping[str, Any]]) -> list[dict[str, float]]:
    """What a trainer logged at each place, under TRL's names with `train/` before them; without times."""
    rows = list[dict[str, float]]()
    for entry in history:
        if "train_runtime" in entry or "step" not in entry:
            continue  # the summary at the end
        numbers = {
            f"train/{name}": float(value)
            for name, value in entry.items()
            if type(value) in (int, float) and name != "step" and not name.endswith(("time", "per_second"))
        }
        rows.append({"step": float(entry["step"]), **numbers})
    return rows
