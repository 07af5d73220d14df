"""The tables of docs/selection.md, from what the benches wrote; results_table.py fills them in."""

from __future__ import annotations

from typing import Any

from methods_table import table


def pools(found: dict[str, Any]) -> str:
    """What selections take and find in pools of several sizes, as scripts/bench/selection.py wrote it."""
    steps = [*found["pools"][0]["steps"]]
    heads = ("rows", *(f"`{step}`, s" for step in steps), "all on the clock, min", "CPU, s", "memory, GB")
    lines = [
        (
            f"{pool['rows']:,}",
            *(f"{pool['steps'][step]:.1f}" for step in steps),
            f"{sum(pool['wall'].values()) / 60:.1f}",
            f"{pool['cpu']:.0f}",
            f"{pool['memory'] / 1e9:.2f}",
        )
        for pool in found["pools"]
    ]
    kinds = ("exact", "near", "leak")
    said = ("exact copies", "near copies, Jaccard .90 to .98", "rows with 18 words of the exam")
    recall = [(f"{pool['rows']:,}", *(f"{pool['recall'][kind]:.4f}" for kind in kinds)) for pool in found["pools"]]
    return f"{table(heads, lines)}\n{table(('rows, share found of', *said), recall)}\nMade by `{found['command']}`."


def samplers(found: dict[str, Any]) -> str:
    """Steps until plain sampling's accuracy, as scripts/bench/samplers.py wrote them."""
    lines = [
        (
            f"`{row['sampler']}`",
            f"{row['steps']:.2f}" if row["completions"] is not None else "not reached",
            f"{row['lowest']:.2f} to {row['highest']:.2f}",
            "-" if row["completions"] is None else f"{row['completions']:.2f}",
            row["reached"],
        )
        for row in sorted(found["rows"], key=lambda row: row["steps"])
    ]
    heads = ("sampler", "steps over plain's, median", "lowest to highest", "completions over plain's", "reached it")
    return f"{table(heads, lines)}\nMade by `{found['command']}`."
