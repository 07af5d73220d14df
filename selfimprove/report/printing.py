"""Print the rows of a run and its end on a console."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from selfimprove.report import details, ending, rows
from selfimprove.report.letters import fancy, fitted, width
from selfimprove.safety.redaction import shown

INDENT = 17
"""Columns before the text of the end block."""
SHOWN = 100
"""Most rounds that a report prints."""


def row(console: Console, one: rows.Row) -> None:
    """Print a row, with its alarms above it."""
    for text in rows.lines(one, width(console), fancy(console)):
        console.print(text, soft_wrap=True)


def head(console: Console) -> None:
    """Print the head of the table."""
    for text in rows.head(width(console)):
        console.print(Text(text, "bold"), soft_wrap=True)


def detail(console: Console, line: Mapping[str, Any]) -> None:
    """Print what lies behind a row."""
    for text in details.lines(line, width(console)):
        console.print(Text(fitted(shown(text), console), "dim"), soft_wrap=True)


def table(console: Console, summary: Mapping[str, Any], folder: Path, verbose: bool = False) -> None:
    """Print the rows of a finished run.

    Args:
        verbose: print what lies behind each row, too.
    """
    lines = summary["per_round"]
    by_round = {str(line["round"]): line for line in lines} | {"start": lines[0] if lines else {}}
    made = rows.of_run(lines, folder, ending.settings_of(folder).get("autonomy", 3))
    if len(made) > SHOWN:
        console.print(Text(f"the last {SHOWN} rows; metrics.jsonl has all rounds", "dim"), soft_wrap=True)
    head(console)
    for one in made[-SHOWN:]:
        row(console, one)
        if verbose and one.name in by_round:
            detail(console, by_round[one.name])


def end(console: Console, summary: Mapping[str, Any], folder: Path) -> None:
    """Print the end of a finished run."""
    for part in ending.block(summary, folder):
        _part(console, part)
    console.print()
    _commands(console, ending.commands(summary, folder))


def _part(console: Console, part: ending.Part) -> None:
    columns, text = width(console), fitted(shown(part.text), console)
    if part.main:
        lines = textwrap.wrap(text, max(columns - len(part.label) - 2, 30), break_on_hyphens=False) or [""]
        for place, line in enumerate(_spaced(text, lines)):
            before = part.label if not place else " " * len(part.label)
            console.print(Text.assemble((before, part.style), f"  {line}"), soft_wrap=True)
        return
    made = textwrap.wrap(
        text,
        max(columns, 40),
        initial_indent=f"  {part.label:<{INDENT - 2}}",
        subsequent_indent=" " * INDENT,
        break_on_hyphens=False,
        break_long_words=False,
    )
    for line in made:
        console.print(Text(line), soft_wrap=True)


def _spaced(text: str, lines: list[str]) -> list[str]:
    """The lines, or the text as it is where it fits in one: wrapping takes the wide gaps away."""
    return [text] if len(lines) == 1 else lines


def _commands(console: Console, commands: Iterable[str]) -> None:
    for place, command in enumerate(commands):
        console.print(Text(f"{'' if place else 'next':<6}{shown(command)}"), soft_wrap=True)
