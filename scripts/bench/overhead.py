"""What the run folder costs: the rounds of a recipe against a bare script that makes the same generate and train calls.

Each repeat runs the recipe. Whenever the runner calls `engine.draw` or `training.sft`, the bench makes the same call
once more by itself, with an engine of the same options, before the runner's own call or after it in turn, so that a
machine that slows down for a minute slows both. From that come two sums over the rounds:
  run   everything from the first step of round 1 to the last of the last round, less the bench's own calls: records on
        disk, fingerprints, fsync, gate, metrics; round 0, confirmation and sealed exam are left out;
  bare  the bench's own calls.
The bare script does not even mark the answers, so the ratio is an upper bound. The goal is at most 1.06 in wall time;
the ratio of CPU time stands beside it, because other programs disturb it less. One run before the repeats fills the
model cache and warms everything up.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import bench

from selfimprove.logs import Silent


class Twice(Silent):
    """Sums the wall and CPU seconds of a run's rounds, and of the calls that it makes twice."""

    def __init__(self) -> None:
        self.began = self.ended = self.bare = (0.0, 0.0)
        self.rounds = False
        self.made = 0

    def step(self, number: int, stage: str) -> None:
        """A step begins."""
        if number >= 1 and not self.rounds and stage not in ("confirmation", "sealed"):
            self.rounds, self.began = True, now()
        elif stage in ("confirmation", "sealed"):
            self.rounds = False

    def round(self, line: dict[str, Any]) -> None:
        """A round is finished."""
        self.ended = now()

    def call(self, own: Callable[[], Any], again: Callable[[], Any]) -> Any:
        """The result of the runner's own call; within the rounds the same call is made and timed once more."""
        if not self.rounds:
            return own()
        self.made += 1
        if self.made % 2:
            self._time(again)
        result = own()
        if not self.made % 2:
            self._time(again)
        return result

    def _time(self, again: Callable[[], Any]) -> None:
        began = now()
        again()
        ended = now()
        self.bare = self.bare[0] + ended[0] - began[0], self.bare[1] + ended[1] - began[1]

    def sums(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """Wall and CPU seconds of the run without the bench's calls, and of the bench's calls."""
        wall, cpu = (ended - began for began, ended in zip(self.began, self.ended, strict=True))
        return (wall - self.bare[0], cpu - self.bare[1]), self.bare


def now() -> tuple[float, float]:
    """The clocks of wall and CPU time in seconds."""
    return time.perf_counter(), time.process_time()


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
        run(options.recipe, [*changes, "rounds=1"], root / "warm")
        for repeat in range(options.repeats):
            (wall, cpu), (bare_wall, bare_cpu) = run(options.recipe, changes, root / str(repeat)).sums()
            rows.append({"run": wall, "bare": bare_wall, "ratio": wall / bare_wall, "cpu_ratio": cpu / bare_cpu})
            print(
                f"repeat {repeat}: run {wall:.1f} s, bare {bare_wall:.1f} s, ratio {wall / bare_wall:.3f}", flush=True
            )
    bench.show(
        ["repeat", "run s", "bare s", "ratio", "ratio of CPU time"], [[i, *r.values()] for i, r in enumerate(rows)]
    )
    median = {name: statistics.median(row[name] for row in rows) for name in rows[0]}
    print(
        f"median: run {median['run']:.1f} s, bare {median['bare']:.1f} s, ratio {median['ratio']:.3f}, "
        f"of CPU time {median['cpu_ratio']:.3f}"
    )
    bench.save(options.json, machine, rows=rows, **median)


def run(recipe: str, changes: list[str], folder: Path) -> Twice:
    """Run the recipe, every generate and train call of its rounds twice."""
    from selfimprove import training
    from selfimprove.loop import begin, loop
    from selfimprove.recipe import compose
    from selfimprove.store import journal

    clock, quiet = Twice(), Silent()
    started = loop.Runner(begin.create(recipe, changes, folder), clock)
    engine, second = started.stored.recipe.the("engine"), compose.load(recipe, changes)[0].the("engine")
    draw, sft = engine.draw, training.sft  # `sample` goes through `draw`

    def drawn(asks: Any, log: Any) -> Any:
        return clock.call(lambda: draw(asks, log), lambda: second.draw(asks, quiet))

    def trained(job: training.Job, rollouts: Any, *check: Any, **how: Any) -> Any:
        other = folder.with_name(f"{folder.name}-again-{clock.made}")
        return clock.call(
            lambda: sft(job, rollouts, *check, **how),
            lambda: sft(replace(job, folder=other, log=quiet), rollouts, **how),
        )

    engine.draw, training.sft = drawn, trained
    journal.time = SimpleNamespace(monotonic=lambda: time.monotonic() - clock.bare[0])
    try:
        started.run()
    finally:
        training.sft, journal.time = sft, time
        second.close()
    return clock


if __name__ == "__main__":
    main()
