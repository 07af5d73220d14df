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


KINDS = {
    "recall_wrong": "wrong",
    "recall_copy": "copies",
    "recall_off_topic": "off topic",
    "recall_noise": "noise",
    "recall_poisoned": "poisoned",
    "kept_clean": "clean rows left",
    "precision": "planted among what goes",
}
"""Key of what planted_tally finds -> head of its column."""
BARE = ("start", "all rows", "random")
"""What selects nothing, so it finds nothing either."""


def worth(found: dict[str, Any]) -> str:
    """What each selection finds and what training on its rows gains, as scripts/bench/selection_worth.py wrote it."""
    gains, finds, sizes = list[tuple[str, ...]](), list[tuple[str, ...]](), found["sizes"]
    for row in sorted(found["table"], key=lambda row: -row["accuracy"]):
        value, low, high = row["gain"]
        itself = row["selection"] == "random"
        gain = "-" if itself else f"{value:+.3f} ({low:+.3f} to {high:+.3f})"
        above = "-" if itself else f"{sum(one > 0 for one in row['gains'])} of {row['seeds']}"
        gains.append((row["selection"], f"{row['kept']:.0f}", f"{row['accuracy']:.3f}", gain, above))
        if row["selection"] not in BARE:
            shares = (f"{row['found'][key]:.2f}" for key in KINDS)
            finds.append((row["selection"], f"{row['left']:.0f}", *shares, f"{row['seconds']:.0f}"))
    seeds = max(row["seeds"] for row in found["table"])
    text = (
        f"Pools of {sizes['rows']:,} rows, {sizes['share']:.0%} of which train the model: {sizes['max_steps']} steps "
        f"of {sizes['per_device_train_batch_size']} rows, {sizes['times']} trainings of each choice and seed, "
        f"{sizes['problems']} held-out problems, {seeds} seeds."
    )
    heads = ("trained on", "rows", "accuracy", "gain over random rows, with 95 % interval", "seeds above random")
    dropped = "The shares of each kind that go, of clean rows that stay, and the seconds of CPU of a selection:"
    tables = f"{table(heads, gains)}\n{dropped}\n\n{table(('selection', 'rows left', *KINDS.values(), 's'), finds)}"
    return f"{text}\n\n{tables}\nMade by `{found['command']}`."


def rates(found: dict[str, Any]) -> str:
    """Shares that bands of pass rates leave out, as scripts/bench/pass_rates.py wrote them."""
    told = {(row["method"], row["kind"], row["attempts"]): row for row in found["rows"]}
    attempts = sorted({row["attempts"] for row in found["rows"]})
    lines = [
        (
            f"`{method}`",
            kind,
            f"{told[method, kind, attempts[0]]['problems']}",
            *(f"{told[method, kind, n]['left out']:.3f}" for n in attempts),
        )
        for method, kind in dict.fromkeys((row["method"], row["kind"]) for row in found["rows"])
    ]
    heads = ("left out by", "problems that are", "of them", *(f"{n} attempts" for n in attempts))
    return f"{table(heads, lines)}\nMade by `{found['command']}`."
