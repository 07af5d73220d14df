"""A round in detail, for --verbose: p-values and levels, seconds of each step, and the diagnosis."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

INDENT = 7


def lines(line: Mapping[str, Any], columns: int) -> Iterator[str]:
    """What lies behind the row of a round.

    Args:
        line: its line of metrics.jsonl, with `seconds`.
    """
    for label, text in _details(line):
        behind = " " * (INDENT + 11)
        wide = max(columns, 40)
        yield from textwrap.wrap(
            text, wide, initial_indent=f"{'':{INDENT}}{label:<11}", subsequent_indent=behind, break_on_hyphens=False
        )


def _details(line: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    decision = line.get("decision")
    if decision and decision["reason"]:
        yield "decision", decision["reason"]
    for alert in line.get("alerts", ()):
        yield "alarm", f"{alert['alarm']}, level {alert['level']}: {alert['text']}"
    for verdict in (line.get("diagnosis") or {}).get("verdicts", ()):
        yield "diagnosis", verdict["text"]
    taken = [f"{stage} {seconds:.1f}" for stage, seconds in line.get("seconds", {}).items() if seconds >= 0.05]
    if taken:
        yield "seconds", ", ".join(taken)
