"""What the run folder costs: the rounds of a recipe against a bare script that makes the same generate and train calls.

First the recipe runs once, which fills the model cache, warms everything up, and records each call of `engine.sample`
and `training.sft` with its arguments. Then each repeat times two things in this one process, in turn:
  run   all rounds through the runner, from the first step of round 1 to the last of the last round: records on disk,
        fingerprints, fsync, gate, metrics; round 0, confirmation and sealed exam are left out;
  bare  the recorded calls alone, one after the other, with an engine of the same options.
The bare script does not even mark the answers, so the ratio is an upper bound. The goal is at most 1.10 in wall time;
the ratio of CPU time stands beside it, because other programs disturb it less.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bench

Times = tuple[float, float]
"""Wall and CPU seconds."""


def now() -> Times:
    """The two clocks."""
    return time.perf_counter(), time.process_time()


def between(began: Times, ended: Times) -> Times:
    """The seconds from one moment to another."""
    return ended[0] - began[0], ended[1] - began[1]


@dataclass
class Call:
    """One recorded call, without its log."""

    kind: str
    """`generate` or `train`."""
    given: tuple[Any, ...]


class Clock(bench.Quiet):
    """Notes when round 1 begins and when the last round ends, in wall and in CPU seconds."""

    def __init__(self) -> None:
        self.began: Times | None = None
        self.ended = now()

    def step(self, number: int, stage: str) -> None:
        """A step begins."""
        if number >= 1 and self.began is None:
            self.began = now()

    def round(self, line: dict[str, Any]) -> None:
        """A round is finished."""
        self.ended = now()


class Switch(bench.Quiet):
    """Is on in the rounds from 1 on, and off in round 0, in the confirmation and in the sealed exam."""

    on = False

    def step(self, number: int, stage: str) -> None:
        """A step begins."""
        self.on = number >= 1 and stage not in ("confirmation", "sealed")


def main() -> None:
    parser = bench.arguments(__doc__ or "")
    parser.add_argument("--recipe", default="quickstart")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("overrides", nargs="*", help="changes to the recipe, for example rounds=2")
    options = parser.parse_args()
    machine = bench.machine()
    changes = [*options.overrides, f"seed={options.seed}"]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        calls = record(options.recipe, changes, root / "recorded")
        kinds = [call.kind for call in calls]
        print(f"each repeat: {kinds.count('generate')} generate and {kinds.count('train')} train calls", flush=True)
        for repeat in range(options.repeats):
            timed = {}
            for way in (run, bare) if repeat % 2 == 0 else (bare, run):
                timed[way.__name__] = way(options.recipe, changes, root / f"{way.__name__}-{repeat}", calls)
            (wall, cpu), (bare_wall, bare_cpu) = timed["run"], timed["bare"]
            rows.append({"run": wall, "bare": bare_wall, "ratio": wall / bare_wall, "cpu_ratio": cpu / bare_cpu})
            print(f"repeat {repeat}: run {wall:.1f} s, bare {bare_wall:.1f} s", flush=True)
    bench.show(
        ["repeat", "run s", "bare s", "ratio", "ratio of CPU time"], [[i, *r.values()] for i, r in enumerate(rows)]
    )
    median = {name: statistics.median(row[name] for row in rows) for name in rows[0]}
    print(
        f"median: run {median['run']:.1f} s, bare {median['bare']:.1f} s, ratio {median['ratio']:.3f}, "
        f"of CPU time {median['cpu_ratio']:.3f}"
    )
    bench.save(options.json, machine, rows=rows, **median)


def record(recipe: str, changes: list[str], folder: Path) -> list[Call]:
    """Run the recipe once and keep the generate and train calls of its rounds."""
    from selfimprove import runner, training

    calls: list[Call] = []
    switch = Switch()
    started = runner.Runner(runner.create(recipe, changes, folder), switch)
    engine = started.stored.recipe.the("engine")
    sample, sft = engine.sample, training.sft

    def sampled(*given: Any) -> Any:
        if switch.on:
            calls.append(Call("generate", given[:-1]))
        return sample(*given)

    def trained(start: Any, rollouts: Any, place: Path, schedule: Any, log: Any, *check: Any) -> Any:
        if switch.on:
            calls.append(Call("train", (start, rollouts, schedule)))
        return sft(start, rollouts, place, schedule, log, *check)

    engine.sample, training.sft = sampled, trained
    try:
        started.run()
    finally:
        training.sft = sft
    return calls


def run(recipe: str, changes: list[str], folder: Path, calls: list[Call]) -> Times:
    """Seconds of all rounds through the runner."""
    from selfimprove import runner

    clock = Clock()
    runner.Runner(runner.create(recipe, changes, folder), clock).run()
    assert clock.began is not None, "the recipe has no rounds"
    return between(clock.began, clock.ended)


def bare(recipe: str, changes: list[str], folder: Path, calls: list[Call]) -> Times:
    """Seconds of the recorded calls alone."""
    from selfimprove import recipe as recipes
    from selfimprove import training

    engine, quiet = recipes.load(recipe, changes)[0].the("engine"), bench.Quiet()
    began = now()
    for number, call in enumerate(calls):
        if call.kind == "generate":
            engine.sample(*call.given, quiet)
        else:
            start, rollouts, schedule = call.given
            training.sft(start, rollouts, folder / str(number), schedule, quiet)
    ended = now()
    engine.close()
    return between(began, ended)


if __name__ == "__main__":
    main()
