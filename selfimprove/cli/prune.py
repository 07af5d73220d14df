"""The command `prune`: free the disk of weights that nothing needs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from selfimprove.cli.console import Json, out, say
from selfimprove.errors import RecipeError
from selfimprove.safety.redaction import dumps


def prune(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder.")],
    keep: Annotated[
        str,
        typer.Option(
            help="needed: what a resume may use; champion: start, champion, model on trial, last and its "
            "origin; best:K: what is needed and the K best candidates."
        ),
    ] = "needed",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would go, and remove nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Remove the weights of rounds that nothing needs; the run still reports, verifies, evals and resumes."""
    from selfimprove.loop import keeping
    from selfimprove.loop.history import Stored
    from selfimprove.loop.summary import in_bytes
    from selfimprove.recipe.schema import KEEP
    from selfimprove.store.run_folder import RunDir

    if not KEEP.fullmatch(keep):
        raise RecipeError(f"--keep {keep} is none of needed, champion, all, or best:K such as best:3")
    run = RunDir.open(folder)
    with run.lock():
        stored = Stored(run)
        kept = keeping.kept(stored, keep)
        going = keeping.spare(stored, keep) if dry_run else keeping.free(stored, keep)
    size = sum(one.size for one in going)
    if as_json:
        rows = [{"round": one.number, "step": one.stage, "files": one.files, "bytes": one.size} for one in going]
        stay = {str(number): why for number, why in kept.items()}
        print(dumps({"pruned": not dry_run, "bytes": size, "steps": rows, "kept": stay}))
        return
    if going:
        table = Table()
        for column in ("round", "step", "files", "size"):
            table.add_column(column, justify="right" if column != "step" else "left")
        for one in going:
            table.add_row(str(one.number), one.stage, str(len(one.files)), in_bytes(one.size))
        out.print(table)
    say("the weights stay of " + "; ".join(f"round {number} ({why})" for number, why in sorted(kept.items())))
    what = f"{in_bytes(size)} of {len(going)} steps" if going else "nothing"
    say(f"{what} would be freed; leave out --dry-run to do it" if dry_run and going else f"{what} freed")
