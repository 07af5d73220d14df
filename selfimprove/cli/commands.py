"""The commands that read and compare; they import heavy packages only when needed."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from selfimprove.cli.console import Json, Overrides, Verbose, err, out, points, progress_screen, say, threads
from selfimprove.cli.page import write_page
from selfimprove.cli.status import note_of, shown_as_unfinished
from selfimprove.errors import DataError, RecipeError, UserError
from selfimprove.foreign import whole_number
from selfimprove.report.damaged import ODD
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
    with contextlib.suppress(UserError):  # the scores are there, whatever else is in the folder
        if said := "" if start else note_of(checkpoint):
            err.print(f"{said}. This is its champion so far.", soft_wrap=True)
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


def report(
    folders: Annotated[
        list[Path], typer.Argument(help="Run folders; with --html also a name that ends in .html, the file.")
    ],
    html: Annotated[
        bool, typer.Option("--html", help="Write one HTML file without scripts; default RUN/report.html.")
    ] = False,
    public: Annotated[bool, typer.Option("--public", help="With --html: leave out the samples.")] = False,
    as_json: Json = False,
    plot: Annotated[Path | None, typer.Option(help="Draw the rounds into this .svg, .png or .pdf file.")] = None,
    verbose: Verbose = False,
) -> None:
    """Show runs again: the rounds, the verdict, and what could make it wrong; of an unfinished one its status."""
    from selfimprove.report.finished import summary_of

    if html or public:
        say(write_page(folders, public))
        return
    if not (as_json or plot):
        folders = [folder for folder in folders if not shown_as_unfinished(folder)]
    summaries = [summary_of(folder) for folder in folders]
    if plot:
        from selfimprove.report import plots

        try:
            plots.rounds({str(folder): summary for folder, summary in zip(folders, summaries, strict=True)}, plot)
        except ODD as error:
            raise DataError(f"a summary.json is damaged: its rounds cannot be drawn ({error!r})") from error
    if as_json:
        print(dumps(summaries))
        return
    from selfimprove.report import printing

    for folder, summary in zip(folders, summaries, strict=True):
        try:
            with out.capture() as said:
                printing.table(out, summary, folder, verbose)
                out.print()
                printing.end(out, summary, folder)
        except ODD as error:
            raise DataError(
                f"{folder / 'summary.json'} is damaged: it is not the summary of a run ({error!r}). Write it again: "
                f"selfimprove resume {folder}"
            ) from error
        out.file.write(said.get())


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

    wanted = [number for seed in seeds.split(",") if (number := whole_number(seed.strip())) is not None]
    if len(wanted) <= seeds.count(","):
        raise RecipeError(f"--seeds {seeds} is not a list of numbers; write it as 0,1,2")
    codes = list[int | None]()
    for name, said in benched(names, wanted, folder, changes or [], minutes, jobs):
        say(f"{name}: {said}")
        codes.append(failure(said))
    say(f"leaderboard: {folder / 'leaderboard.md'}")
    if codes[0] is not None and None not in codes:
        failed = UserError(f"all {len(codes)} runs failed; what each one printed is in {folder}/NAME.log")
        failed.code = codes[0]
        raise failed


def doctor(
    model: Annotated[Path | None, typer.Option(help="A model folder: one page on it instead.")] = None,
    data: Annotated[
        Path | None, typer.Option(help="With --model: a file of yours, to count its tokens and to take prompts from.")
    ] = None,
    dtype: Annotated[str, typer.Option(help="With --model: auto, float32, bfloat16, float16.")] = "auto",
    as_json: Json = False,
) -> None:
    """Show versions, devices, missing packages, and the commands that install them; or what a model can do here."""
    from selfimprove.cli import doctor as shown

    if model is None and data is not None:
        raise UserError("--data belongs to --model: selfimprove doctor --model FOLDER --data FILE")
    if model is None:
        found = shown.findings()
        if as_json:
            print(dumps([{"what": what, "found": version, "fix": fix} for what, version, fix in found]))
        else:
            out.print(shown.table(("what", "found", "fix"), [row for row in found if row[0] != shown.ADVICE]))
            for what, said, fix in found:
                if what == shown.ADVICE:
                    say(f"{said}: {fix}")
        return
    threads()
    page = shown.page(model, data, dtype)
    if as_json:
        print(dumps(page))
        return
    for table in shown.tables(page):
        out.print(table)
