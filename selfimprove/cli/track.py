"""The command `track`: fill a tracker from what is on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from selfimprove.cli.console import say
from selfimprove.errors import EngineError, MissingError


def track(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder, finished or not.")],
    name: Annotated[
        str | None, typer.Option("--tracker", help="tensorboard, trackio or wandb; default: that of the recipe.")
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Send all rounds anew, as another run there.")] = False,
) -> None:
    """Send the rounds of a run to a tracker that lacks them, from the files of the run."""
    from selfimprove import registry
    from selfimprove.loop.history import Stored
    from selfimprove.loop.target import finished_rounds
    from selfimprove.loop.tracking import Tracking
    from selfimprove.store.run_folder import RunDir

    run = RunDir.open(folder)
    stored, notes = Stored(run), list[str]()
    [own] = stored.recipe.tracker
    chosen = name or own
    tracker = stored.recipe.the("tracker") if chosen == own else registry.find("tracker", chosen).method()
    if chosen == "none":
        raise EngineError("the recipe names no tracker; add --tracker tensorboard, trackio or wandb")
    tracker.preflight()
    done = finished_rounds(stored)
    if not done:
        raise MissingError(f"{folder} has no finished round yet; go on with it: selfimprove resume {folder}")
    with run.lock():
        tracking = Tracking(stored, chosen, tracker, notes.append)
        if again:
            tracking.again()
        sent = tracking.send(done - 1)
        tracking.end()
    if notes:
        raise EngineError(notes[0])
    say(f"{sent} of {done} rounds sent to {chosen}" + ("" if sent else "; it has them all"))
