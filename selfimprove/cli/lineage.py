"""The commands that follow a run's data and decisions: why, blame and replay."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Annotated

import typer

from selfimprove.cli.console import Json, Overrides, say, threads
from selfimprove.safety.redaction import dumps

RunFolder = Annotated[Path, typer.Argument(help="Run folder.")]


def why(
    folder: RunFolder,
    sample: Annotated[
        str, typer.Argument(help="Id of a record or its first digits, or ROUND:LINE of what a round selected.")
    ],
    as_json: Json = False,
) -> None:
    """Show where a row of training data came from, what each selection did with it, and where it was trained."""
    from selfimprove.loop.history import Stored
    from selfimprove.report import why as origin
    from selfimprove.store.run_folder import RunDir

    found = origin.why(Stored(RunDir.open(folder)), sample)
    if as_json:
        print(dumps(found))
        return
    for line in origin.told(found):
        say(line)


def blame(
    folder: RunFolder,
    number: Annotated[int, typer.Argument(metavar="ROUND", help="Number of the round, from 1.")],
    as_json: Json = False,
) -> None:
    """Show what differs about the candidate of a round: its test, new data, changed options, alarms."""
    from selfimprove.loop.history import Stored
    from selfimprove.report import blame as difference
    from selfimprove.store.run_folder import RunDir

    found = difference.blame(Stored(RunDir.open(folder)), number)
    if as_json:
        print(dumps(found))
        return
    for line in difference.told(found, str(folder)):
        say(line)


def replay(
    folder: RunFolder,
    overrides: Overrides = None,
    number: Annotated[int, typer.Option("--from", help="First round with the changed options.")] = 1,
    out: Annotated[Path | None, typer.Option("--out", help="Folder of the new run; default RUN-replay.")] = None,
    as_json: Json = False,
) -> None:
    """Run a branch: share the finished steps of a run before a round, then go on with changed options."""
    from selfimprove.cli.run import finish
    from selfimprove.loop.history import Stored
    from selfimprove.loop.replay import replay as branched
    from selfimprove.report.finished import summary_of
    from selfimprove.store.run_folder import RunDir

    threads()
    root = branched(folder, number, overrides or [], out).root
    made = Stored(RunDir.open(root)).branch
    assert made is not None
    saved = {"run": str(root), "of": str(folder), "from": number, "overrides": made.overrides}
    saved |= {"shared_steps": made.steps, "saved_seconds": made.seconds, "saved_tokens": int(made.tokens)}
    if not as_json:
        say(f"run folder {root}")
        say(
            f"shares {made.steps} steps with {folder}: saves {made.seconds:.1f} s and {int(made.tokens):,} tokens "
            f"drawn; goes on with {made.step} of round {number}"
        )
    if not as_json:
        finish(root, None)
        return
    with contextlib.redirect_stdout(sys.stderr):
        finish(root, None)
    print(dumps({**saved, "verdict": summary_of(root)["verdict"]}))
