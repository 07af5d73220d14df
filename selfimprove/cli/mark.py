"""`selfimprove mark`: what a task's rule reads in completions of your own, and which mark it gives."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from selfimprove.cli.console import Json, Overrides, out, say
from selfimprove.safety.redaction import dumps

if TYPE_CHECKING:
    from selfimprove.studies.marking import Marked

SHOWN, LONGEST = 40, 60
"""Most rows that are shown, and most characters of an answer or a reason."""


def mark(
    file: Annotated[
        Path,
        typer.Argument(
            help="Rows with `completion` (a text or messages) and `reference`, or what else the rule needs: "
            "`instructions` for ifeval, `row` or the `name` of a row for code. Or a run folder."
        ),
    ],
    overrides: Overrides = None,
    task: Annotated[
        str | None, typer.Option(help="A task whose rule marks, or a recipe; a row's own `rule` goes before it.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show what a rule reads in completions, which mark it gives and why; with `right` in the rows, what it gets wrong.

    It loads no model and no data set. Nothing is written.
    """
    from selfimprove.studies import marking

    found = marking.mark(file, task, overrides or [])
    if as_json:
        print(dumps(marking.plain(found)))
        return
    due = any(one.right is not None for one in found)
    _show_rows([one for one in found if not due or one.outcome.startswith("false")], due)
    _show_rules(found)


def _show_rows(rows: Sequence[Marked], due: bool) -> None:
    table = Table(title="marked otherwise than due" if due else None)
    for column in ("row", "rule", "read", "reference", "mark", *(["due"] if due else []), "why"):
        table.add_column(column, overflow="fold")
    for one in rows[:SHOWN]:
        given = "-" if one.mark is None else f"{one.mark:g}"
        told = [f"{one.right:g}" if one.right is not None else "-"] if due else []
        table.add_row(
            one.place,
            one.rule,
            _short(one.read),
            _short(one.reference),
            given,
            *told,
            _short(one.why),
        )
    if rows:
        out.print(table)
    if len(rows) > SHOWN:
        say(f"{len(rows) - SHOWN} more rows; --json has all")


def _show_rules(found: Sequence[Marked]) -> None:
    from selfimprove.studies.marking import counts

    table = Table()
    for column in ("rule", "rows", "right", "false accepts", "false rejects", "unread"):
        table.add_column(column, justify="left" if column == "rule" else "right")
    rules = list(dict.fromkeys(one.rule for one in found))
    for rule in [*rules, *(["all"] if len(rules) > 1 else [])]:
        rows = [one for one in found if rule == "all" or one.rule == rule]
        table.add_row(rule, str(len(rows)), *(str(count) for count in counts(rows).values()))
    out.print(table)


def _short(text: str | None) -> str:
    """A text in one line, shortened if long; - for None."""
    line = " ".join((text or "").split()) or ("-" if text is None else "")
    return line if len(line) <= LONGEST else line[: LONGEST - 3] + "..."
