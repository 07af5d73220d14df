"""The command line: parsing and printing. Nothing heavy is imported until a command needs it."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import FrameType, TracebackType
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from selfimprove.errors import DataError, InterruptedRunError, RecipeError, StoppedError, UserError
from selfimprove.redaction import dumps, shown

app = typer.Typer(
    help="Self-improving language models: every published loop is a recipe of 25 lines.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # typer's rich help alone takes 0.2 s to import
)


class _Terminal(Console):
    """Shows every text as it is: without control characters, secrets, markup and emoji codes."""

    def render_str(self, text: str, **given: Any) -> Text:
        return super().render_str(shown(text), **{**given, "markup": False, "emoji": False, "highlight": False})


out, err = _Terminal(), _Terminal(stderr=True)

INTERRUPTED = 130
"""The exit code of Ctrl-C."""
UNUSABLE = {errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EACCES, errno.EPERM}
"""What the system says of a name that a user should not have given."""
Overrides = Annotated[list[str] | None, typer.Argument(help="Changes to the recipe: rounds=5 model=pretrained ...")]
RecipeName = Annotated[str, typer.Argument(help="Path of a recipe, or the name of a shipped one.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


@app.command()
def run(
    recipe: RecipeName,
    overrides: Overrides = None,
    folder: Annotated[Path | None, typer.Option("--out", help="Run folder; default runs/<recipe>.")] = None,
    seed: Annotated[int | None, typer.Option(help="Same as seed=N.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the composed recipe and stop.")] = False,
    deterministic: Annotated[
        bool, typer.Option("--deterministic", help="Hold torch to algorithms that repeat to the bit; for a GPU.")
    ] = False,
) -> None:
    """Run a recipe: N rounds of self-improvement and a sealed exam."""
    from selfimprove import recipe as recipes

    changes = [*(overrides or []), *([] if seed is None else [f"seed={seed}"])]
    composed, settings = recipes.load(recipe, changes)
    if dry_run:
        out.print(recipes.runnable(settings), end="")
        return
    for remark in recipes.preflight(composed):
        _say(remark)
    from selfimprove import runner
    from selfimprove.environment import TIERS
    from selfimprove.stored import began

    _threads()
    store = runner.create(recipe, changes, folder, deterministic)
    _last_without_output()
    _say(f"run folder {store.root}")
    tier = began(store)["tier"]
    _say(f"repeats: {tier}: {TIERS[tier]}")
    _finish(store.root, None)


@app.command()
def resume(
    folder: Annotated[Path, typer.Argument(help="Run folder.")],
    rounds: Annotated[int | None, typer.Option(help="Go on to this many rounds.")] = None,
    answer: Annotated[
        bool | None, typer.Option("--approve/--reject", help="Answer what a run at autonomy 1 waits with.")
    ] = None,
    accept: Annotated[
        bool, typer.Option("--accept-changes", help="Go on with an edited recipe.yaml, or with other versions.")
    ] = False,
) -> None:
    """Go on with a run that was stopped; finished steps are not repeated."""
    _last_without_output()
    if accept:
        from selfimprove import runner
        from selfimprove.rundir import RunDir

        for line in runner.accept(RunDir.open(folder)):
            _say(f"accepted: {line}")
    _finish(folder, rounds, answer)


@app.command(name="eval")
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
            help="Score the model that the run started from. With --refinement self_consistency it is the control at "
            "equal compute: what as many samples per problem buy without training; see "
            "refinement.self_consistency.samples.",
        ),
    ] = False,
    folder: Annotated[
        Path | None, typer.Option("--out", help="Also write results and samples here, in the layout of lm-eval.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Score a checkpoint on the selection problems of a task."""
    _threads()
    from selfimprove.examine import examine

    with _screen() as screen:
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


@app.command()
def diagnose(
    target: Annotated[
        str, typer.Argument(metavar="RECIPE_OR_CHECKPOINT", help="A recipe (the model that it starts from), a folder.")
    ],
    overrides: Overrides = None,
    samples: Annotated[int, typer.Option(help="Completions of each problem.")] = 32,
    problems: Annotated[int, typer.Option(help="Selection problems at most.")] = 100,
    as_json: Json = False,
) -> None:
    """Say what a loop can hope for before any training: headroom, what the model knows of its own errors, verdicts."""
    _threads()
    from selfimprove import diagnose as diagnosis

    with _screen() as screen:
        screen.step(0, "diagnosis")
        findings = diagnosis.diagnose(target, overrides or [], samples, problems, screen)
    if as_json:
        print(dumps(diagnosis.plain(findings)))
        return
    for table in diagnosis.tables(findings):
        out.print(table)
    for line in diagnosis.sentences(findings):
        _say(line)


@app.command()
def check(recipe: RecipeName, overrides: Overrides = None) -> None:
    """Compose a recipe, check that its stages fit, and estimate its cost; loads no model."""
    from selfimprove import cost, registry
    from selfimprove import recipe as recipes

    composed, _ = recipes.load(recipe, overrides or [])
    remarks = recipes.preflight(composed, elsewhere=True)  # what a login node checks, a node with a GPU may run
    table = Table(title=f"{recipe}: {composed.rounds} rounds, seed {composed.seed}", show_header=False)
    for slot in registry.SLOTS:
        table.add_row(slot, ", ".join(getattr(composed, slot)) or "-")
    out.print(table)
    for remark in remarks:
        _say(remark)
    price = cost.estimate(composed)
    steps = "set by the data" if price.steps is None else f"{price.steps:,}"
    _say(
        f"at most {price.samples:,} samples for training and {price.evaluations:,} for evaluation, "
        f"{price.tokens:,} tokens, {steps} training steps"
    )


@app.command(name="list")
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


@app.command()
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


@app.command()
def report(
    folders: Annotated[list[Path], typer.Argument(help="Run folders.")],
    as_json: Json = False,
    plot: Annotated[Path | None, typer.Option(help="Draw the rounds into this .svg, .png or .pdf file.")] = None,
) -> None:
    """Show finished runs side by side."""
    from selfimprove.compare import summary_of

    summaries = [summary_of(folder) for folder in folders]
    if plot:
        from selfimprove import plots

        plots.rounds({str(folder): summary for folder, summary in zip(folders, summaries, strict=True)}, plot)
    if as_json:
        print(dumps(summaries))
        return
    from selfimprove.display import rounds_table

    for folder, summary in zip(folders, summaries, strict=True):
        try:
            table, verdict = rounds_table(summary), f"{folder}: {summary['verdict']}"
        except (LookupError, TypeError, AttributeError, ValueError) as error:
            raise DataError(f"{folder / 'summary.json'} is damaged: it is no summary of a run ({error!r})") from error
        out.print(table)
        _say(verdict)


@app.command()
def compare(
    folders: Annotated[list[Path], typer.Argument(help="Run folders; the others are compared with the first.")],
    as_json: Json = False,
) -> None:
    """Say whether the champions of finished runs differ, on their sealed problems; refuse runs not measured alike."""
    from selfimprove.compare import compare as compared

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
        table.add_row(row["run"], row["recipe"], str(row["seed"]), made, *shares, _points(row["delta"], row["ci"]))
    out.print(table)
    table = Table(title=f"champions against that of {folders[0]}")
    for column in ("run", "difference", "p", "p (Holm)", "sealed problems"):
        table.add_column(column, justify="left" if column in ("run", "sealed problems") else "right", overflow="fold")
    for row in result["comparisons"]:
        new, old = row["n"]
        problems = f"the same {new}: paired" if row["paired"] else f"{new} and other {old}: not paired"
        values = (f"{row[name]:.2g}" for name in ("p", "p_holm"))
        table.add_row(row["run"], _points(row["difference"], row["ci"]), *values, problems)
    out.print(table)


@app.command()
def bench(
    names: Annotated[list[str], typer.Argument(metavar="RECIPE...", help="Recipes to compare.")],
    seeds: Annotated[str, typer.Option(help="Seeds of the runs, for example 0,1,2.")] = "0",
    minutes: Annotated[
        float | None, typer.Option(help="Budget of each run; it stops before a round that would exceed it.")
    ] = None,
    jobs: Annotated[int, typer.Option(help="Runs at a time.")] = 1,
    changes: Annotated[
        list[str] | None, typer.Option("--set", help="A change to all recipes, for example task.chain_sums.level=4.")
    ] = None,
    folder: Annotated[Path, typer.Option("--out", help="Folder of the runs and the leaderboard.")] = Path("bench"),
) -> None:
    """Run recipes on one bench and rank them by sealed gain; started again, it goes on where it stopped."""
    from selfimprove.bench import bench as benched
    from selfimprove.errors import RecipeError

    if not all(seed.strip().isdigit() for seed in seeds.split(",")):
        raise RecipeError(f"--seeds {seeds} is no list of numbers; write it as 0,1,2")
    wanted = [int(seed) for seed in seeds.split(",")]
    for name, said in benched(names, wanted, folder, changes or [], minutes, jobs):
        _say(f"{name}: {said}")
    _say(f"leaderboard: {folder / 'leaderboard.md'}")


@app.command()
def doctor() -> None:
    """Show versions and devices, what is missing, and the command that mends it."""
    from selfimprove.doctor import findings

    table = Table()
    for column in ("what", "found", "to mend it"):
        table.add_column(column)
    for finding in findings():
        table.add_row(*finding)
    out.print(table)


@app.command()
def verify(folder: Annotated[Path, typer.Argument(help="Run folder.")], as_json: Json = False) -> None:
    """Check every file of a run: checksums, fingerprints, the ledger's chain; exit code 65 if one is not right."""
    from dataclasses import asdict

    from selfimprove.verify import verify as verified

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
        raise DataError(f"{folder} is not what was written: {named}. Mend it: selfimprove resume {folder}")


@app.command()
def chaos(
    recipe: RecipeName,
    overrides: Overrides = None,
    kills: Annotated[int, typer.Option(help="How often a process of the run is killed.")] = 20,
    folder: Annotated[Path, typer.Option("--out", help="Folder of the runs; must be empty.")] = Path("chaos"),
    seed: Annotated[int, typer.Option(help="Decides the moments.")] = 0,
) -> None:
    """Run a recipe under random kills, and compare every file with that of an undisturbed run."""
    from selfimprove.chaos import Kill
    from selfimprove.chaos import chaos as tried

    bad, table = list[str](), Table(title=f"{recipe}: SIGKILL of all its processes at random moments")
    for column in ("run", "killed after", "finished steps", "was writing", "orphans"):
        table.add_column(column, justify="right")
    began, done = time.monotonic(), 0
    for event in tried(recipe, overrides or [], kills, folder, seed):
        if isinstance(event, Kill):
            done += 1
            bad += ["processes outlived a kill"] * bool(event.orphans)
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
    _say(f"{kills} kills, nothing lost: all runs equal the undisturbed one; they are in {folder}")


@app.command()
def selftest(
    full: Annotated[bool, typer.Option("--full", help="Every point and every damage; takes minutes.")] = False,
) -> None:
    """Try on this machine what is promised of a run: kills, power cuts, full disks, damaged files, two at once."""
    from selfimprove.selftest import selftest as tried

    failed, table = list[str](), Table()
    for column in ("promise", "tried", "result", "seconds"):
        table.add_column(column, overflow="fold")
    for result in tried(full):
        err.print(f"{result.promise}: {result.tried}, {result.seconds:.0f} s", soft_wrap=True)
        failed += result.failed
        said = f"{len(result.failed)} FAILED" if result.failed else "held"
        table.add_row(result.promise, result.tried, said, f"{result.seconds:.0f}")
    out.print(table)
    if failed:
        raise DataError(f"{len(failed)} promises were broken, first: {failed[0]}")


@app.command(hidden=True)
def step(folder: Path, number: int, stage: str, fingerprint: Annotated[str, typer.Option()]) -> None:
    """Carry out one step of a run; the process launcher calls this."""
    _threads()
    from selfimprove.errors import BusyError
    from selfimprove.rundir import RunDir
    from selfimprove.runner import Runner
    from selfimprove.stopping import Stopped, Stopping, end_with_parent

    end_with_parent()
    try:
        with contextlib.ExitStack() as held, _screen() as screen, Stopping(screen) as watcher:
            with contextlib.suppress(BusyError):  # the run that asks for the step holds it; nobody else may
                held.enter_context(RunDir.open(folder).lock())
            watcher.step(number, stage)
            Runner(RunDir.open(folder), watcher).perform(number, stage, fingerprint)
    except Stopped as stopped:  # the run says so
        sys.exit(stopped.code)


def main() -> None:
    """Carry out a command: users' mistakes are one line with a documented exit code, bugs have their traceback.

    Raises:
        SystemExit: always, unless there is a bug.
    """
    terminated = list[int]()

    def terminate(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)  # a second one ends the process at once
        terminated.append(number)
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, terminate)
    sys.excepthook = _bug
    try:
        code = app(standalone_mode=False)
        if code == INTERRUPTED:  # what typer makes of it
            raise KeyboardInterrupt
        sys.exit(code)
    except UserError as error:
        _fail(str(error), error.code)
    except KeyboardInterrupt:
        _fail("interrupted", 143 if terminated else INTERRUPTED)
    except OSError as error:
        from selfimprove.rundir import FULL

        if error.errno == errno.EPIPE:
            sys.exit(0)
        if error.errno in UNUSABLE:
            _fail(f"cannot use {str(error.filename)[:200]!r}: {error.strerror}; name another file or folder", 74)
        if error.errno not in FULL:
            raise
        _fail(f"cannot write: {error.strerror} ({error.filename}). Make room, then: selfimprove resume RUN_DIR", 74)
    except Exception as error:
        message = getattr(error, "format_message", None)  # a wrong argument; typer does not export the class
        if message is None:
            raise
        _fail(message(), 2)


def _fail(message: str, code: int) -> None:
    err.print(f"error: {' '.join(message.splitlines())}", soft_wrap=True)
    sys.exit(code)


def _bug(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """The traceback of a bug, which may hold what a recipe or a model said."""
    sys.stderr.write(shown("".join(traceback.format_exception(kind, error, trace))))


def _points(delta: float, ci: Sequence[float]) -> str:
    """A difference of accuracies in points, with its interval."""
    return f"{100 * delta:+.1f} [{100 * ci[0]:+.1f}, {100 * ci[1]:+.1f}]"


def _say(text: str) -> None:
    out.print(text, soft_wrap=True)


def _screen() -> Any:
    from selfimprove.display import Screen

    return Screen(err)


def _last_without_output() -> None:
    from selfimprove.stopping import keep_going_without_output

    keep_going_without_output()


def _threads() -> None:
    """Fix the number of threads before torch is imported: results depend on it."""
    from selfimprove.doctor import cores

    os.environ.setdefault("OMP_NUM_THREADS", str(cores()))
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    import logging
    import warnings

    warnings.filterwarnings("ignore")
    logging.getLogger("transformers").setLevel(logging.ERROR)
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")


def _finish(folder: Path, rounds: int | None, answer: bool | None = None) -> None:
    _threads()
    from selfimprove.display import closing, rounds_table, sealed_table
    from selfimprove.rundir import RunDir
    from selfimprove.runner import Runner
    from selfimprove.stopping import Stopped, Stopping

    with _screen() as screen, Stopping(screen) as watcher:
        try:
            summary = Runner(RunDir.open(folder), watcher).run(rounds, answer)
        except (KeyboardInterrupt, UserError) as error:
            if isinstance(error, UserError) and not watcher.number:
                raise
            code = error.code if isinstance(error, Stopped) else Stopped(watcher.number or signal.SIGINT).code
            stopped = InterruptedRunError(f"stopped; finished steps are kept. Go on with: selfimprove resume {folder}")
            stopped.code = code
            raise stopped from None
    out.print(rounds_table(summary))
    out.print(sealed_table(summary))
    for line in closing(summary):
        _say(line)
    if summary["stopped"]:
        _say(f"stopped after round {summary['rounds']}: {summary['stopped']}")
    _say(summary["verdict"])
    if "nothing to train on" in summary["stopped"]:
        raise StoppedError(f"{summary['stopped']}. Lower the selection's threshold, or draw more samples")
