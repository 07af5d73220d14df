"""The command that looks at a run from outside: `selfimprove status`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from selfimprove.cli.console import Json, out, say
from selfimprove.errors import DataError, MissingError, UserError
from selfimprove.safety.redaction import dumps

EVERY = 2.0
"""Seconds between two looks of `--watch`."""


def note_of(folder: Path) -> str:
    """What to say of a run that is not done, with the command to type; "" of one that is, and of what is no run."""
    from selfimprove.report import damaged
    from selfimprove.report.status_text import unfinished

    with damaged.told(folder):
        return unfinished(folder, time.time())


def shown_as_unfinished(folder: Path) -> bool:
    """Whether a run is not done; then its status is shown."""
    said = note_of(folder)
    if said:
        from selfimprove.report import status_text
        from selfimprove.report.letters import width
        from selfimprove.report.status import status_of

        for line in status_text.page(status_of(folder), time.time(), width(out)):
            say(line)
        say(said)
    return bool(said)


def status(
    folder: Annotated[Path | None, typer.Argument(help="Run folder; default: all in runs/.", metavar="[RUN]")] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Look again every 2 s, until the run ends.")] = False,
    as_json: Json = False,
) -> None:
    """Show what a run is doing: stage, rate, time left, last rounds, alarms, disk; or all runs at a glance.

    The exit code is 0 for a run that is done, 4 if it waits for an answer, 75 while it runs, 3 if it was stopped.
    """
    from selfimprove.report import damaged, status_text
    from selfimprove.report import status as looked
    from selfimprove.report.letters import width

    if folder is None:
        if watch:
            raise UserError("--watch looks at one run: selfimprove status RUN --watch")
        found, broken = list[looked.Status](), list[str]()
        for path in looked.runs_in(Path("runs")):
            try:
                with damaged.told(path):
                    found.append(looked.status_of(path))
            except DataError as error:
                broken.append(str(error))
        if as_json:
            print(dumps([one.plain() for one in found]))
        elif not found and not broken:
            raise MissingError("there is no run in runs/. Start one: selfimprove run quickstart")
        else:
            for line in [*status_text.table(found, time.time(), width(out)), *broken]:
                say(line)
        return
    while True:
        with damaged.told(folder):
            now = looked.status_of(folder)
            page = [dumps(now.plain())] if as_json else status_text.page(now, time.time(), width(out))
        if watch and out.is_terminal and not as_json:
            out.clear()
        for line in page:
            print(line, flush=True) if as_json else say(line)
        if not watch or now.state not in ("running", "silent"):
            raise typer.Exit(now.code)
        time.sleep(EVERY)
