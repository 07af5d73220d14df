"""The commands that test what was promised: `verify` a run folder, `chaos` and `selftest` this machine."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from selfimprove.cli.console import Json, Overrides, RecipeName, err, out, say
from selfimprove.errors import DataError
from selfimprove.safety.redaction import dumps


def verify(folder: Annotated[Path, typer.Argument(help="Run folder.")], as_json: Json = False) -> None:
    """Check every file of a run: checksums, fingerprints, the ledger's hash chain; exit code 65 if one is wrong."""
    from dataclasses import asdict

    from selfimprove.report.verify import BY_ITSELF
    from selfimprove.report.verify import verify as verified

    findings = verified(folder)
    if as_json:
        print(dumps([asdict(finding) for finding in findings]))
    else:
        table = Table()
        for column in ("what", "state", "found"):
            table.add_column(column, overflow="fold")
        for finding in findings:
            state = {True: "ok", False: "WRONG", None: "-"}[finding.fine]
            table.add_row(finding.what, state, finding.said)
        out.print(table)
    wrong = [finding for finding in findings if finding.fine is False]
    if wrong:
        named = ", ".join(finding.what for finding in wrong[:3])
        by_hand = next((finding for finding in wrong if finding.way), None)
        way = f"Fix it: selfimprove resume {folder}"
        if by_hand:
            way = f"resume does not repair {by_hand.what}: {by_hand.said}"
            way += f"; {by_hand.way}" if by_hand.way != BY_ITSELF else ""
        raise DataError(f"{folder} is damaged: {named}. {way}")


def chaos(
    recipe: RecipeName,
    overrides: Overrides = None,
    kills: Annotated[int, typer.Option(help="Number of kills.", min=1)] = 20,
    folder: Annotated[Path, typer.Option("--out", help="Folder of the runs; must be empty.")] = Path("chaos"),
    seed: Annotated[int, typer.Option(help="Seed of the random moments.")] = 0,
) -> None:
    """Run a recipe under random kills, and compare every file with that of an undisturbed run."""
    from selfimprove.trials.chaos import Kill
    from selfimprove.trials.chaos import chaos as tried

    bad, table = list[str](), Table(title=f"{recipe}: SIGKILL of all its processes at random moments")
    for column in ("run", "killed after", "finished steps", "was writing", "orphans"):
        table.add_column(column, justify="right")
    began, done = time.monotonic(), 0
    for event in tried(recipe, overrides or [], kills, folder, seed):
        if isinstance(event, Kill):
            done += 1
            bad += ["processes survived a kill"] * bool(event.orphans)
            row = (f"{event.after:.1f} s", str(event.finished), event.writing, str(event.orphans))
            table.add_row(str(event.run), *row)
        else:
            bad += [f"run {event.run} differs in {', '.join(event.differs[:3])}"] if event.differs else []
            same = "differs" if event.differs else "equal to the undisturbed run"
            table.add_row(str(event.run), f"finished in {event.starts} starts", "", same, "", end_section=True)
            left = (time.monotonic() - began) / max(1, done) * (kills - done) / 60
            err.print(f"run {event.run} {same}; {done} of {kills} kills, about {left:.0f} min left", soft_wrap=True)
    out.print(table)
    if bad:
        raise DataError(f"{'; '.join(dict.fromkeys(bad))}; the runs are in {folder}")
    say(f"{kills} kills, nothing lost: all runs equal the undisturbed one; they are in {folder}")


def selftest(
    full: Annotated[bool, typer.Option("--full", help="Test every point and every damage; takes minutes.")] = False,
    share: Annotated[
        int | None,
        typer.Option(
            "--share", metavar="N", min=0, help="Test the points and damages that CI tests for commit number N."
        ),
    ] = None,
) -> None:
    """Test the promises of a run on this machine: kills, power cuts, full disks, damaged files, hostile inputs."""
    from selfimprove.trials.selftest import selftest as tried

    failed, table = list[str](), Table()
    for column in ("promise", "tested", "result", "seconds"):
        table.add_column(column, overflow="fold")
    for result in tried(full, share):
        err.print(f"{result.promise}: {result.tried}, {result.seconds:.0f} s", soft_wrap=True)
        failed += result.failed
        said = f"{len(result.failed)} FAILED" if result.failed else "held"
        table.add_row(result.promise, result.tried, said, f"{result.seconds:.0f}")
    out.print(table)
    if failed:
        raise DataError(f"{len(failed)} promises were broken, first: {failed[0]}")
