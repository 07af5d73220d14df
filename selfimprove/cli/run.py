"""The commands that execute a run: run, resume and step."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from selfimprove.cli import streams
from selfimprove.cli.console import Overrides, RecipeName, Verbose, out, progress_screen, say, threads
from selfimprove.cli.page import at_the_end
from selfimprove.errors import InterruptedRunError, RecipeError, StoppedError, StorageError, UserError

if TYPE_CHECKING:
    from selfimprove.recipe.compose import Load


def run(
    recipe: RecipeName,
    overrides: Overrides = None,
    folder: Annotated[Path | None, typer.Option("--out", help="Run folder; default runs/<recipe>.")] = None,
    seed: Annotated[int | None, typer.Option(help="Same as seed=N.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the composed recipe and stop.")] = False,
    deterministic: Annotated[
        bool, typer.Option("--deterministic", help="Use only torch algorithms that repeat bit by bit; for a GPU.")
    ] = False,
    verbose: Verbose = False,
) -> None:
    """Run a recipe: N rounds of self-improvement and a sealed exam."""
    from selfimprove.recipe import checks, compose

    twice = [one for one in overrides or [] if seed is not None and one.startswith("seed=")]
    if twice:
        raise RecipeError(f"--seed {seed} and {twice[0]} both set the seed; give one of them")
    changes = [*(overrides or []), *([] if seed is None else [f"seed={seed}"])]
    composed, settings = compose.load(recipe, changes)
    if dry_run:
        out.print(compose.runnable(settings), end="")
        return
    for remark in checks.preflight(composed):
        say(remark)
    from selfimprove.loop import begin

    threads()
    before = begin.there(folder)
    store = begin.create(recipe, changes, folder, deterministic)
    streams.opened(lasting=True)
    with begin.removed_if_it_cannot_start(store, before):
        finish(store.root, None, verbose=verbose)


def resume(
    folder: Annotated[Path, typer.Argument(help="Run folder.")],
    rounds: Annotated[int | None, typer.Option(help="Continue to this many rounds in all; kept for later.")] = None,
    add: Annotated[int | None, typer.Option(help="Add this many rounds to those planned.")] = None,
    answer: Annotated[
        bool | None, typer.Option("--approve/--reject", help="Answer the proposal of a run at autonomy 1.")
    ] = None,
    accept: Annotated[
        bool, typer.Option("--accept-changes", help="Continue with an edited recipe.yaml or other package versions.")
    ] = False,
    verbose: Verbose = False,
) -> None:
    """Continue a stopped run, or add rounds; finished steps are not repeated."""
    streams.opened(lasting=True)
    if accept:
        from selfimprove.loop import begin
        from selfimprove.store.run_folder import RunDir

        for line in begin.accept(RunDir.open(folder)):
            say(f"accepted: {line}")
    finish(folder, rounds, answer, add, verbose=verbose)


def step(folder: Path, number: int, stage: str, fingerprint: Annotated[str, typer.Option()]) -> None:
    """Execute one step of a run; launchers call this."""
    threads()
    from selfimprove.errors import BusyError
    from selfimprove.loop.loop import Runner
    from selfimprove.loop.progress import Progress
    from selfimprove.loop.stopping import Stopped, Stopping, end_with_parent
    from selfimprove.store.run_folder import RunDir

    end_with_parent()
    try:
        with (
            contextlib.ExitStack() as held,
            progress_screen() as screen,
            Stopping(Progress(screen, folder, whole=False)) as watcher,
        ):
            with contextlib.suppress(BusyError):  # the run that started this step holds the lock
                held.enter_context(RunDir.open(folder).lock())
            watcher.step(number, stage)
            Runner(RunDir.open(folder), watcher).perform(number, stage, fingerprint)
    except Stopped as stopped:  # the run reports it
        sys.exit(stopped.code)


def finish(
    folder: Path,
    rounds: int | None,
    answer: bool | None = None,
    add: int | None = None,
    load: Load | None = None,
    verbose: bool = False,
) -> None:
    """Run to the end, and show the results.

    Args:
        rounds, answer, add: as `Runner.run` takes them.
        load: composes the recipe; None means `compose.load`.
        verbose: show what lies behind each row, too.
    """
    threads()
    from selfimprove.loop.loop import Runner
    from selfimprove.loop.progress import Progress
    from selfimprove.loop.stopping import Stopped, Stopping
    from selfimprove.recipe import compose
    from selfimprove.report import printing
    from selfimprove.report.terminal import Title
    from selfimprove.store.run_folder import RunDir

    kept = f"stopped at once; finished steps are kept. Continue: selfimprove resume {folder}"
    with (
        progress_screen(verbose) as screen,
        Progress(screen, folder) as noting,
        Stopping(noting, screen.stops, kept) as watcher,
    ):
        try:
            runner = Runner(RunDir.open(folder), watcher, load or compose.load)
            noted = runner.stored.environment
            screen.title = Title(noted.get("recipe", ""), runner.stored.recipe.seed, str(folder), noted.get("tier", ""))
            summary = runner.run(rounds, answer, add)
        except (KeyboardInterrupt, UserError) as error:
            if isinstance(error, StorageError) and str(error).endswith("selfimprove resume"):
                raise StorageError(f"{error} {folder}") from error
            if isinstance(error, UserError) and not watcher.number:
                raise
            code = error.code if isinstance(error, Stopped) else Stopped(watcher.number or signal.SIGINT).code
            stopped = InterruptedRunError(f"stopped; finished steps are kept. Continue: selfimprove resume {folder}")
            stopped.code = code
            raise stopped from None
    if not _alike(1, 2):  # else the rows stand there already
        printing.table(out, summary, folder, verbose)
    out.print()
    failed = at_the_end(folder)
    printing.end(out, summary, folder)
    if failed:
        say(failed)
    if "nothing to train on" in summary["stopped"]:
        raise StoppedError(f"{summary['stopped']}. Lower the selection's threshold, or draw more samples")


def _alike(one: int, other: int) -> bool:
    """Whether two streams go to the same file, terminal or pipe."""
    try:
        return os.path.sameopenfile(one, other)
    except OSError:
        return False
