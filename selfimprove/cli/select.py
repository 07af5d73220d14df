"""The command `select`: which rows of a pool of your own are worth training on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from selfimprove.cli.console import Json, Overrides, RecipeName, out, progress_screen, say, threads
from selfimprove.errors import MissingError, RecipeError, StorageError
from selfimprove.safety.redaction import dumps

if TYPE_CHECKING:
    from selfimprove.studies.pool.findings import Findings, Step

LONGEST, PAIRS = 56, 3
"""Most characters of a text, and most pairs of near copies of a step, that are shown."""


def select(
    recipe: RecipeName,
    data: Annotated[
        Path,
        typer.Option(help="The pool: JSON lines (also .gz), Parquet, or a folder of text files.", show_default=False),
    ],
    file: Annotated[Path, typer.Option("--out", help="JSON lines with the rows that stay, packed if it ends in .gz.")],
    overrides: Overrides = None,
    report: Annotated[
        Path | None, typer.Option(help="Write what was kept and why, distributions and near copies to this JSON file.")
    ] = None,
    prompt: Annotated[
        str | None, typer.Option(help="Column with the prompt; default: TRL's and other usual names.")
    ] = None,
    answer: Annotated[str | None, typer.Option(help="Column with the answer.")] = None,
    text: Annotated[str | None, typer.Option(help="Column with a whole text, for language modeling.")] = None,
    skip_bad: Annotated[int, typer.Option(min=0, help="Rows that may be left out because they cannot be read.")] = 0,
    processes: Annotated[
        int | None, typer.Option(min=1, help="Processes that read; default: one for each core.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing --out.")] = False,
    as_json: Json = False,
) -> None:
    """Choose rows of your own data by a recipe's selections; they come out as they went in. Resumes when repeated."""
    if not data.exists():
        raise MissingError(f"--data: {data} does not exist")
    _check_out(data, file, force)
    threads()
    from selfimprove.cli.doctor import cores
    from selfimprove.store import durable
    from selfimprove.studies.pool.chain import chain_of
    from selfimprove.studies.pool.selecting import Request
    from selfimprove.studies.pool.selecting import select as choose

    chain = chain_of(recipe, overrides or [])
    asked = Request(
        data=data,
        out=file,
        prompt=prompt,
        answer=answer,
        text=text,
        skip_bad=skip_bad,
        processes=processes or cores(),
    )
    with progress_screen() as screen:
        found = choose(chain, asked, screen, screen.begin)
    if report is not None:
        durable.write(report, (dumps(found.plain()) + "\n").encode())
    if as_json:
        print(dumps(found.plain()))
        return
    _show(found)
    if report is None:
        say("--report FILE.json keeps this and more")


def _check_out(data: Path, file: Path, force: bool) -> None:
    """Refuse a place for the result that would change the pool or another file."""
    if file.resolve() == data.resolve():
        raise RecipeError(f"--out {file} is the pool itself; the pool is never changed, so name another file")
    if data.is_dir() and file.resolve().is_relative_to(data.resolve()):
        raise RecipeError(f"--out {file} lies in the pool {data}, which is never changed; name a file outside of it")
    if file.suffix.lower() in (".parquet", ".arrow", ".csv"):
        raise RecipeError(f"--out {file}: the rows are written as JSON lines; name it {file.stem}.jsonl")
    if file.is_dir() or (file.exists() and not force):
        raise StorageError(f"--out {file} exists; choose another name" + ("" if file.is_dir() else ", or add --force"))
    if not file.absolute().parent.is_dir():
        raise StorageError(f"--out {file}: the folder {file.absolute().parent} does not exist; make it first")


def _show(found: Findings) -> None:
    table = Table(title=f"{found.data} -> {found.out}")
    for column in ("selection", "came", "stayed", "went", "why", "seconds"):
        table.add_column(column, justify="left" if column in ("selection", "why") else "right", overflow="fold")
    if found.unread:
        table.add_row(
            "(rows)", f"{found.rows:,}", f"{found.rows - found.unread:,}", f"{found.unread:,}", "not readable"
        )
    for step in found.steps:
        went = step.came - step.stayed
        table.add_row(step.name, f"{step.came:,}", f"{step.stayed:,}", f"{went:,}", _why(step), f"{step.seconds:.1f}")
    out.print(table)
    table = Table(title="before and after")
    for column in ("", "", "5 %", "25 %", "median", "75 %", "95 %", "mean"):
        table.add_column(column, justify="right" if column else "left")
    for change in [found.length, *(step.score for step in found.steps if step.score)]:
        for when, spread in (("before", change.before), ("after", change.after)):
            numbers = [*spread.quantiles[1:-1], spread.mean]
            table.add_row(change.name if when == "before" else "", when, *(f"{number:.4g}" for number in numbers))
    out.print(table)
    if found.levels:
        parts = (f"{level or 'none'} {after:,} of {before:,}" for level, (before, after) in found.levels.items())
        say(f"by level: {', '.join(parts)}")
    for step in found.steps:
        for twin in step.twins[:PAIRS]:
            say(
                f"{step.name}: row {twin.row} went for row {twin.like} ({twin.similarity:.2f} alike): "
                f"{_short(twin.text)!r} / {_short(twin.like_text)!r}"
            )
        for note in step.notes:
            say(f"{step.name}: {note}")
        if any(step.cost):
            say(f"{step.name}: {step.cost.completions:,} completions drawn, {step.cost.scored:,} rows scored")
    share = found.stayed / max(1, found.rows)
    said = " (went on with earlier work)" if found.resumed else ""
    say(f"{found.stayed:,} of {found.rows:,} rows stay ({share:.1%}), in {found.seconds:.1f} s{said}: {found.out}")


def _why(step: Step) -> str:
    """What a selection measured, in few words."""
    said = [f"{step.copies:,} cop{'y' if step.copies == 1 else 'ies'}"] if step.copies else []
    said += [f"{name.partition('/')[2] or name} {value:.4g}" for name, value in step.why.items()]
    return ", ".join(said) or "-"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else line[: LONGEST - 3] + "..."
