"""Benchmark recipes: the same seeds, the same budget, one table. Every run is a run folder, so a benchmark continues
where it stopped, and each figure of the table can be traced to a `summary.json`."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial
from pathlib import Path

from selfimprove.errors import DataError, RecipeError, StorageError, listed
from selfimprove.loop import begin
from selfimprove.loop.origin import as_begun, began, changes
from selfimprove.recipe import compose
from selfimprove.report import plots
from selfimprove.report.finished import summary_of
from selfimprove.report.leaderboard import row_of, table
from selfimprove.store.run_folder import RunDir
from selfimprove.store.seal import write_json, write_text

Launch = Callable[[list[str], Path], int]
"""(words for the command line, file for its output) -> exit code."""
FAILED = "failed with exit code"


def bench(
    names: Sequence[str],
    seeds: Sequence[int],
    folder: Path,
    overrides: Sequence[str] = (),
    minutes: float | None = None,
    jobs: int = 1,
    launch: Launch | None = None,
) -> Generator[tuple[str, str], None, None]:
    """Run each recipe with each seed, and keep `leaderboard.md`, `.json` and, with matplotlib, `.svg` up to date.

    Args:
        minutes: each run stops before a round that would exceed this time; None runs all planned rounds.
        jobs: number of runs at the same time.
        launch: how to start a run; by default in a new process.

    Yields:
        (name of the run, its verdict or why it failed) when a run ends.

    Raises:
        RecipeError: a recipe cannot be used, or a run in the folder has other settings; nothing was started.
    """
    if not names or not seeds:
        raise RecipeError("a bench takes at least one recipe and one seed")
    if jobs < 1:
        raise RecipeError(f"--jobs {jobs} runs nothing; it must be at least 1")
    if minutes is not None and not 0 < minutes < math.inf:
        raise RecipeError(f"--minutes is {minutes}; it must be a number above 0")
    plans = {name: [*overrides, *_budget(name, [*overrides, f"seed={max(seeds)}"], minutes)] for name in names}
    places = {(name, seed): folder / f"{Path(name).stem}-{seed}" for name in names for seed in seeds}
    if len(set(places.values())) < len(places):
        raise RecipeError("two of the recipes have the same file name; rename one")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise StorageError(f"{folder} is a file, so no runs can be put in it; choose --out") from error
    for (name, seed), place in places.items():
        _check_same(name, [*plans[name], f"seed={seed}"], place)
    pool, running = ThreadPoolExecutor(jobs), set[subprocess.Popen[bytes]]()
    start = launch or partial(_process, running)
    try:
        todo = {
            pool.submit(_run, name, seed, place, plans[name], start): place for (name, seed), place in places.items()
        }
        failed = set[Path]()
        for done in as_completed(todo):
            said = done.result()
            failed |= {todo[done]} if said.startswith(FAILED) else set()
            _publish(folder, names, seeds, places, failed)
            yield todo[done].name, said
    finally:  # interrupted: start no further run, and let those in progress stop where they can resume
        pool.shutdown(wait=False, cancel_futures=True)
        for child in list(running):
            child.terminate()
        pool.shutdown()


def _check_same(name: str, overrides: Sequence[str], place: Path) -> None:
    """Refuse to take a run that was made with other settings for one of this bench."""
    if not (place / "environment.json").is_file():
        return
    then, now = began(RunDir(place))["settings"], begin.absolute(compose.load(name, overrides)[1])
    if changed := changes(then, as_begun(now, then)):
        raise RecipeError(
            f"{place} was made with other settings: {listed(changed)}. Choose another --out, or remove that folder"
        )


def _budget(name: str, overrides: Sequence[str], minutes: float | None) -> list[str]:
    """The overrides that add the controller `budget` to a recipe's controllers; composing it also finds mistakes."""
    composed = compose.load(name, overrides)[0]
    if minutes is None:
        return []
    controllers = [other for other in composed.controller if other != "budget"]
    return [f"controller=[{','.join([*controllers, 'budget'])}]", f"controller.budget.hours={minutes / 60:g}"]


def failure(said: str) -> int | None:
    """The exit code of a run that failed, from what `bench` yields for it; None for a verdict."""
    found = re.match(rf"{FAILED} (-?\d+)", said)
    code = int(found[1]) if found else 0
    return None if not found else code if code > 0 else 128 - code


def _run(name: str, seed: int, place: Path, overrides: Sequence[str], launch: Launch) -> str:
    """Start a run or continue it unless it is finished; returns its verdict, or why there is none."""
    if not (place / "summary.json").exists():
        stored = (place / "recipe.yaml").exists()
        words = ["resume", str(place)] if stored else ["run", name, *overrides, f"seed={seed}", "--out", str(place)]
        log = place.with_suffix(".log")
        code = launch(words, log)
        if not (place / "summary.json").exists():
            return f"{FAILED} {code}: {_last_line(log)}"
    return str(summary_of(place).get("verdict", "its summary has no verdict"))


def _process(running: set[subprocess.Popen[bytes]], words: list[str], log: Path) -> int:
    log.unlink(missing_ok=True)  # it may be a link, or what another program wrote there
    with log.open("x", encoding="utf-8") as output:
        command = [sys.executable, "-m", "selfimprove", *words]
        with subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT) as child:
            running.add(child)
            code = child.wait()
            running.discard(child)
    return code


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n") if log.exists() else []
    return next((line.strip() for line in reversed(lines) if line.strip()), "it printed nothing")


def _publish(
    folder: Path,
    names: Sequence[str],
    seeds: Sequence[int],
    places: dict[tuple[str, int], Path],
    failed: set[Path],
) -> None:
    rows = []
    for name in names:
        made = {seed: places[name, seed] for seed in seeds}
        summaries = [summary_of(place) for place in made.values() if (place / "summary.json").exists()]
        wrong = [seed for seed, place in made.items() if place in failed]
        if summaries or wrong:
            try:
                rows.append(row_of(name, summaries, wrong))
            except (LookupError, TypeError, ValueError, AttributeError) as error:
                raise DataError(
                    f"a summary.json of {name} in {folder} is damaged ({error!r}); remove that run"
                ) from error
    rows.sort(key=lambda row: -(row["gain"]["value"] if row["gain"] else float("-inf")))
    write_json(folder / "leaderboard.json", rows)
    write_text(folder / "leaderboard.md", "\n".join(table(rows)) + "\n")
    if plots.available():
        plots.leaderboard(rows, folder / "leaderboard.svg")
