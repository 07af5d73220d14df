"""The commands that read, check and test; they import heavy packages only when needed."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from selfimprove.cli.console import Json, Overrides, RecipeName, err, out, points, progress_screen, say, threads
from selfimprove.errors import DataError, RecipeError, UserError
from selfimprove.safety.redaction import dumps


def evaluate(
    checkpoint: Annotated[Path, typer.Argument(help="A save_pretrained folder, or a run folder (its champion).")],
    task: Annotated[
        str | None,
        typer.Option(help="Name of a task, or a recipe whose task to use; default: the run's own, else chain_sums."),
    ] = None,
    refinement: Annotated[str, typer.Option(help="How answers are made: greedy, self_consistency, ...")] = "greedy",
    overrides: Overrides = None,
    start: Annotated[
        bool,
        typer.Option(
            "--start",
            help="Score the model that the run started from. With --refinement self_consistency this is the control at "
            "equal compute: the score of as many samples per problem without training; see "
            "refinement.self_consistency.samples.",
        ),
    ] = False,
    folder: Annotated[
        Path | None, typer.Option("--out", help="Also write results and samples here, in the layout of lm-eval.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Score a checkpoint on the selection problems of a task."""
    threads()
    from selfimprove.studies.evaluate import examine

    with progress_screen() as screen:
        screen.step(0, "evaluation")
        result = examine(checkpoint, task, refinement, overrides or [], screen, start, folder)
    if as_json:
        print(dumps(result))
        return
    table = Table(title=f"{checkpoint}, task {result['task']}, {refinement}")
    for column in ("metric", "value", "95 % interval", "n"):
        table.add_column(column, justify="right")
    for name, metric in result["metrics"].items():
        bounds = f"{metric['low']:.4f} to {metric['high']:.4f}"
        table.add_row(name, f"{metric['value']:.4f}", bounds, str(metric["n"]))
    out.print(table)


def diagnose(
    target: Annotated[
        str,
        typer.Argument(metavar="RECIPE_OR_CHECKPOINT", help="A recipe (its start model), a model or a run folder."),
    ],
    overrides: Overrides = None,
    samples: Annotated[int, typer.Option(help="Completions per problem.")] = 32,
    problems: Annotated[int, typer.Option(help="Most selection problems to use.")] = 100,
    as_json: Json = False,
) -> None:
    """Diagnose a model before training: its headroom, how well its own scores tell right from wrong, and verdicts."""
    threads()
    from selfimprove.report import diagnosis
    from selfimprove.studies import diagnose as study

    with progress_screen() as screen:
        screen.step(0, "diagnosis")
        findings = study.diagnose(target, overrides or [], samples, problems, screen)
    if as_json:
        print(dumps(diagnosis.plain(findings)))
        return
    for table in diagnosis.tables(findings):
        out.print(table)
    for line in diagnosis.sentences(findings):
        say(line)


def list_methods(slot: Annotated[str | None, typer.Argument(help="One slot only.")] = None) -> None:
    """List the methods that a recipe can name."""
    from selfimprove import registry

    if slot is not None and slot not in registry.SLOTS:
        raise RecipeError(f"no slot is called {slot!r}.{registry.nearest(slot, registry.SLOTS)}")
    table = Table()
    for column in ("slot", "method", "what it does", "paper"):
        table.add_column(column)
    for name in [slot] if slot else registry.SLOTS:
        for line in registry.lines(name):
            table.add_row(name, line.name, line.summary, line.paper and f"arXiv:{line.paper}")
    out.print(table)


def show(
    slot: Annotated[str, typer.Argument(help="For example selection.")],
    method: Annotated[str, typer.Argument(help="For example threshold.")],
) -> None:
    """Show a method: what it does, its paper, and its options."""
    from selfimprove import registry

    entry = registry.find(slot, method)
    out.print(registry.document(entry), markup=False, highlight=False)
    table = Table(title=f"options of {slot}.{method}")
    for column in ("option", "default", "help"):
        table.add_column(column)
    for option in registry.options(entry.method):
        table.add_row(option.name, option.default, option.help)
    out.print(table)


def report(
    folders: Annotated[list[Path], typer.Argument(help="Run folders.")],
    as_json: Json = False,
    plot: Annotated[Path | None, typer.Option(help="Draw the rounds into this .svg, .png or .pdf file.")] = None,
) -> None:
    """Show finished runs side by side."""
    from selfimprove.report.finished import summary_of

    summaries = [summary_of(folder) for folder in folders]
    if plot:
        from selfimprove.report import plots

        plots.rounds({str(folder): summary for folder, summary in zip(folders, summaries, strict=True)}, plot)
    if as_json:
        print(dumps(summaries))
        return
    from selfimprove.report.terminal import rounds_table

    for folder, summary in zip(folders, summaries, strict=True):
        try:
            table, verdict = rounds_table(summary), f"{folder}: {summary['verdict']}"
        except (LookupError, TypeError, AttributeError, ValueError) as error:
            raise DataError(
                f"{folder / 'summary.json'} is damaged: it is not the summary of a run ({error!r}). Write it again: "
                f"selfimprove resume {folder}"
            ) from error
        out.print(table)
        say(verdict)


def compare(
    folders: Annotated[list[Path], typer.Argument(help="Run folders; the others are compared with the first.")],
    as_json: Json = False,
) -> None:
    """Compare the champions of finished runs on their sealed problems; refuses runs that were measured differently."""
    from selfimprove.report.compare import compare as compared

    result = compared(folders)
    if as_json:
        print(dumps(result))
        return
    table = Table(title="sealed accuracy; gains in points, with 95 % interval")
    for column in ("run", "recipe", "seed", "champion's round", "start", "champion", "gain"):
        table.add_column(column, justify="left" if column in ("run", "recipe") else "right", overflow="fold")
    for row in result["runs"]:
        shares = (f"{row[name]:.3f}" for name in ("start", "champion"))
        made = f"{row['champion_round']} of {row['rounds']}"
        table.add_row(row["run"], row["recipe"], str(row["seed"]), made, *shares, points(row["delta"], row["ci"]))
    out.print(table)
    table = Table(title=f"champions against that of {folders[0]}")
    for column in ("run", "difference", "p", "p (Holm)", "sealed problems"):
        table.add_column(column, justify="left" if column in ("run", "sealed problems") else "right", overflow="fold")
    for row in result["comparisons"]:
        new, old = row["n"]
        problems = f"the same {new}: paired" if row["paired"] else f"{new} and other {old}: not paired"
        values = (f"{row[name]:.2g}" for name in ("p", "p_holm"))
        table.add_row(row["run"], points(row["difference"], row["ci"]), *values, problems)
    out.print(table)


def bench(
    names: Annotated[list[str], typer.Argument(metavar="RECIPE...", help="Recipes to compare.")],
    seeds: Annotated[str, typer.Option(help="Seeds of the runs, for example 0,1,2.")] = "0",
    minutes: Annotated[
        float | None, typer.Option(help="Time budget of each run; it stops before a round that would exceed it.")
    ] = None,
    jobs: Annotated[int, typer.Option(help="Number of runs at the same time.")] = 1,
    changes: Annotated[
        list[str] | None, typer.Option("--set", help="A change to all recipes, for example task.chain_sums.level=4.")
    ] = None,
    folder: Annotated[Path, typer.Option("--out", help="Folder of the runs and the leaderboard.")] = Path("bench"),
) -> None:
    """Run recipes under equal conditions and rank them by sealed gain; a second start continues where it stopped."""
    from selfimprove.studies.bench import bench as benched
    from selfimprove.studies.bench import failure

    if not all(seed.strip().isdigit() for seed in seeds.split(",")):
        raise RecipeError(f"--seeds {seeds} is not a list of numbers; write it as 0,1,2")
    wanted = [int(seed) for seed in seeds.split(",")]
    codes = list[int | None]()
    for name, said in benched(names, wanted, folder, changes or [], minutes, jobs):
        say(f"{name}: {said}")
        codes.append(failure(said))
    say(f"leaderboard: {folder / 'leaderboard.md'}")
    if codes[0] is not None and None not in codes:
        failed = UserError(f"all {len(codes)} runs failed; what each one printed is in {folder}/NAME.log")
        failed.code = codes[0]
        raise failed


def doctor() -> None:
    """Show versions, devices, missing packages, and the commands that install them."""
    from selfimprove.cli.doctor import findings

    table = Table()
    for column in ("what", "found", "fix"):
        table.add_column(column)
    for finding in findings():
        table.add_row(*finding)
    out.print(table)


def verify(folder: Annotated[Path, typer.Argument(help="Run folder.")], as_json: Json = False) -> None:
    """Check every file of a run: checksums, fingerprints, the ledger's hash chain; exit code 65 if one is wrong."""
    from dataclasses import asdict

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
    wrong = [finding.what for finding in findings if finding.fine is False]
    if wrong:
        named = ", ".join(wrong[:3])
        raise DataError(f"{folder} is damaged: {named}. Fix it: selfimprove resume {folder}")


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
    """Test the promises of a run on this machine: kills, power cuts, full disks, damaged files, two runs at once."""
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
