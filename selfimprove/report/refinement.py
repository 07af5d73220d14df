"""A comparison of refinements as a table, as lines and as plain values."""

from __future__ import annotations

from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from selfimprove.measures.equal_tokens import Findings, Row
from selfimprove.records import Metric

WORDS = {"votes": "by votes", "plain": "by 1", "": ""}
"""What a method is dominated by, on screen."""


def plain(findings: Findings) -> dict[str, Any]:
    """The findings for `--json`."""
    return {
        "target": findings.target,
        "task": findings.task,
        "problems": findings.problems,
        "seed": findings.seed,
        "plain": {"tokens": findings.one, "accuracy": _bounds(findings.plain)},
        "votes": [
            {"samples": samples, "tokens": samples * findings.one, "accuracy": _bounds(accuracy)}
            for samples, accuracy in findings.curve
        ],
        "methods": [_row(row) for row in findings.rows],
        "left_out": [{"name": name, "reason": reason} for name, reason in findings.left_out.items()],
    }


def _row(row: Row) -> dict[str, Any]:
    return {
        "name": row.name,
        "budget": row.budget,
        "tokens": row.tokens,
        "completions": row.completions,
        "calls": row.calls,
        "seconds": row.seconds,
        "cut": row.cut,
        "replayed": row.replayed,
        "accuracy": _bounds(row.accuracy),
        "votes": row.worth.votes,
        "against_votes": _difference(row.worth.over_votes),
        "against_plain": _difference(row.worth.over_plain),
        "against_greedy": _difference(row.over_greedy) if row.over_greedy else None,
        "dominated": bool(row.worth.dominated),
        "dominated_by": row.worth.dominated or None,
    }


def _bounds(metric: Metric) -> dict[str, float]:
    return {"value": metric.value, "low": metric.low, "high": metric.high}


def _difference(metric: Metric) -> dict[str, float]:
    return {"difference": metric.value, "low": metric.low, "high": metric.high}


def table(findings: Findings) -> Table:
    """A row for each method, the most accurate first; it fits 80 columns."""
    title = f"{findings.target}: {findings.problems} selection problems of {findings.task}"
    made = Table(title=title, box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in ("method", "tokens", "calls", "ms", "accuracy", "over votes", "dominated"):
        named = name in ("method", "dominated")
        folds = name == "method"
        made.add_column(name, justify="left" if named else "right", no_wrap=not folds, overflow="fold")
    rows = sorted(findings.rows, key=lambda row: (-row.accuracy.value, row.tokens))
    for row in rows:
        budget = "" if row.budget is None else f" ≤{row.budget}"
        made.add_row(
            row.name + budget,
            f"{row.tokens:.0f}",
            f"{row.completions + row.calls:.1f}",
            f"{1000 * row.seconds:.1f}",
            f"{row.accuracy.value:.3f} ±{(row.accuracy.high - row.accuracy.low) / 2:.3f}",
            _points(row.worth.over_votes),
            WORDS[row.worth.dominated],
        )
    made.add_section()
    for samples, accuracy in findings.curve:
        named = "a plain sample" if samples == 1 else f"vote of {samples}"
        cells = f"{samples * findings.one:.0f}", str(samples), "", f"{accuracy.value:.3f}"
        made.add_row(named, *cells, "", "")
    return made


def _points(metric: Metric) -> str:
    """A difference in points with its interval, in few columns."""
    return f"{100 * metric.value:+.1f} [{100 * metric.low:+.1f}, {100 * metric.high:+.1f}]"


def lines(findings: Findings) -> list[str]:
    """What the columns mean, and which methods are missing."""
    said = [
        "over votes: points against the vote of as many samples as the method's tokens pay for, on the same problems "
        "[95 % interval]; calls: completions and calls of tools for an answer",
    ]
    if any(row.worth.dominated for row in findings.rows):
        said.append("dominated by votes: that vote is better. By 1: it costs more and is not better than one sample")
    return said + [f"left out: {name}: {reason}" for name, reason in findings.left_out.items()]
