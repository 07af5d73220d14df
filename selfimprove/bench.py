"""Recipes on one bench: the same seeds, the same budget, one table. Every run is a run folder, so a bench goes on
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
from statistics import fmean, stdev
from typing import Any

from selfimprove import plots
from selfimprove import recipe as recipes
from selfimprove.compare import summary_of
from selfimprove.errors import RecipeError
from selfimprove.rundir import write_json, write_text

Launch = Callable[[list[str], Path], int]
"""(words for the command line, file for its output) -> exit code."""
COLUMNS = (
    *("recipe", "paper", "seeds", "start", "champion", "sealed gain", "certified", "over votes", "labels right"),
    *("pass@k", "tokens", "seconds", "alarms"),
)
"""Of the leaderboard."""
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
        minutes: every run stops before a round that would take it beyond this time; None lets all planned rounds run.
        jobs: runs at a time.
        launch: how a run is started; by default as a process of its own.

    Yields:
        (name of the run, its verdict or why it failed) whenever a run ends.

    Raises:
        RecipeError: a recipe cannot be used; nothing was started.
    """
    if not names or not seeds:
        raise RecipeError("a bench takes at least one recipe and one seed")
    plans = {name: [*overrides, *_budget(name, overrides, minutes)] for name in names}
    folder.mkdir(parents=True, exist_ok=True)
    places = {(name, seed): folder / f"{Path(name).stem}-{seed}" for name in names for seed in seeds}
    if len(set(places.values())) < len(places):
        raise RecipeError("two of the recipes have the same file name; rename one")
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
    finally:  # stopped half way: begin no further run, and let those that go on come to an end they can resume from
        pool.shutdown(wait=False, cancel_futures=True)
        for child in list(running):
            child.terminate()
        pool.shutdown()


def _budget(name: str, overrides: Sequence[str], minutes: float | None) -> list[str]:
    """The overrides that add the controller `budget` to those of a recipe; composing it also shows its mistakes."""
    composed = recipes.load(name, overrides)[0]
    if minutes is None:
        return []
    controllers = [other for other in composed.controller if other != "budget"]
    return [f"controller=[{','.join([*controllers, 'budget'])}]", f"controller.budget.hours={minutes / 60:g}"]


def _run(name: str, seed: int, place: Path, overrides: Sequence[str], launch: Launch) -> str:
    """Start a run, go on with it, or leave a finished one alone; returns its verdict, or why it has none."""
    if not (place / "summary.json").exists():
        stored = (place / "recipe.yaml").exists()
        words = ["resume", str(place)] if stored else ["run", name, *overrides, f"seed={seed}", "--out", str(place)]
        log = place.with_suffix(".log")
        code = launch(words, log)
        if not (place / "summary.json").exists():
            return f"{FAILED} {code}: {_last_line(log)}"
    return str(summary_of(place)["verdict"])


def _process(running: set[subprocess.Popen[bytes]], words: list[str], log: Path) -> int:
    with log.open("w", encoding="utf-8") as output:
        command = [sys.executable, "-m", "selfimprove", *words]
        with subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT) as child:
            running.add(child)
            code = child.wait()
            running.discard(child)
    return code


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8").split("\n") if log.exists() else []
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
            rows.append(row_of(name, summaries, wrong))
    rows.sort(key=lambda row: -(row["gain"]["value"] if row["gain"] else float("-inf")))
    write_json(folder / "leaderboard.json", rows)
    write_text(folder / "leaderboard.md", "\n".join(table(rows)) + "\n")
    if plots.available():
        plots.leaderboard(rows, folder / "leaderboard.svg")


def row_of(name: str, summaries: Sequence[dict[str, Any]], failed: Sequence[int] = ()) -> dict[str, Any]:
    """What the finished runs of a recipe come to.

    Returns:
        gain: the mean over seeds with Student's 95 % interval, or of one seed that of its exam; None without a run.
    """
    row: dict[str, Any] = {
        "recipe": Path(name).stem,
        "paper": _paper(name),
        "seeds": [summary["seed"] for summary in summaries],
        "failed": list(failed),
        "gain": None,
    }
    if not summaries:
        return row
    sealed = [summary["sealed"] for summary in summaries]
    last = [summary["per_round"][-1] for summary in summaries]
    controls = [exam["controls"]["over_votes"]["value"] for exam in sealed if exam.get("controls")]
    precisions = [line["selection/label_precision"] for line in last if "selection/label_precision" in line]
    champions = [s["per_round"][exam["champion_round"]] for s, exam in zip(summaries, sealed, strict=True)]
    largest = [found for line in champions if (found := _pass_at_k(line)) is not None]
    alarms = [alert["alarm"] for s in summaries for alert in s["loop"]["alerts"] if alert["level"] >= 2]
    return row | {
        "start": fmean(exam["start"] for exam in sealed),
        "champion": fmean(exam["champion"] for exam in sealed),
        "gain": _gain(sealed),
        "certified": sum(exam["champion_round"] > 0 and exam["ci"][0] > 0 for exam in sealed),
        "over_votes": fmean(controls) if controls else None,
        "label_precision": fmean(precisions) if precisions else None,
        "pass@k": fmean(largest) if len(largest) == len(champions) else None,
        "tokens": fmean(
            sum(line.get("acquisition/tokens", 0) for line in summary["per_round"]) for summary in summaries
        ),
        "seconds": fmean(summary["seconds"] for summary in summaries),
        "alarms": {alarm: alarms.count(alarm) for alarm in sorted(set(alarms))},
    }


def _gain(sealed: Sequence[dict[str, Any]]) -> dict[str, float]:
    if len(sealed) == 1:
        return {"value": sealed[0]["delta"], "low": sealed[0]["ci"][0], "high": sealed[0]["ci"][1]}
    from scipy.stats import t

    gains = [exam["delta"] for exam in sealed]
    average, half = fmean(gains), float(t.ppf(0.975, len(gains) - 1)) * stdev(gains) / math.sqrt(len(gains))
    return {"value": average, "low": average - half, "high": average + half}


def _pass_at_k(line: dict[str, Any]) -> float | None:
    ladder = line.get("diagnosis", {}).get("ladder", {})
    names = [name for name in ladder if name.startswith("pass@")]
    return ladder[max(names, key=lambda name: int(name.removeprefix("pass@")))] if names else None


def _paper(name: str) -> str:
    """The arXiv id in the comment at the head of a recipe."""
    found = re.search(r"arXiv:(\d{4}\.\d{5})", recipes.find(name).read_text(encoding="utf-8"))
    return found[1] if found else ""


def table(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The leaderboard as lines of Markdown."""
    lines = [f"| {' | '.join(COLUMNS)} |", "|" + " --- |" * len(COLUMNS)]
    for row in rows:
        paper = f"[{row['paper']}](https://arxiv.org/abs/{row['paper']})" if row["paper"] else ""
        seeds = ", ".join([*map(str, row["seeds"]), *(f"{seed} failed" for seed in row["failed"])])
        cells = [f"`{row['recipe']}`", paper, seeds]
        if row["gain"]:
            low, high = 100 * row["gain"]["low"], 100 * row["gain"]["high"]
            alarms = ", ".join(f"{alarm} ({count})" for alarm, count in row["alarms"].items())
            cells += [f"{row['start']:.3f}", f"{row['champion']:.3f}"]
            cells += [f"{100 * row['gain']['value']:+.1f} [{low:+.1f}, {high:+.1f}]"]
            cells += [f"{row['certified']} of {len(row['seeds'])}", _signed(row["over_votes"])]
            cells += ["" if row[name] is None else f"{row[name]:.2f}" for name in ("label_precision", "pass@k")]
            cells += [f"{row['tokens'] / 1000:.0f}k", f"{row['seconds']:.0f}", alarms]
        lines.append(f"| {' | '.join([*cells, *[''] * (len(COLUMNS) - len(cells))])} |")
    return lines


def _signed(value: float | None) -> str:
    return "" if value is None else f"{100 * value:+.1f}"
