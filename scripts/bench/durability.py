"""What it costs that no finished step can be lost: fsync, checksums, renames, the ledger, as a share of each round.

A recipe runs in this process while the clock is taken around everything that the run folder does: `begin`, `commit`
and `done` of `RunDir` (the checksums of what a step reads count here), the writes of `durable` outside of them, and the
comparison of data and versions at the start. Beside it: a folder with 52 MB of weights, committed and checked.
The goals are at most 2 % of a round and 0.5 s for 52 MB.
"""

from __future__ import annotations

import functools
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bench

from selfimprove.logs import Silent
from selfimprove.loop.begin import create
from selfimprove.loop.loop import Runner
from selfimprove.store import durable
from selfimprove.store.run_folder import RunDir

SIZE = 52_000_000


class Clock:
    """Seconds inside of calls; a call inside of another one counts once."""

    def __init__(self) -> None:
        self.seconds, self.depth = 0.0, 0

    def around(self, owner: Any, name: str) -> None:
        """From now on, take the time of a function or method."""
        own: Callable[..., Any] = getattr(owner, name)

        @functools.wraps(own)
        def timed(*given: Any, **named: Any) -> Any:
            self.depth += 1
            began = time.perf_counter()
            try:
                return own(*given, **named)
            finally:
                self.depth -= 1
                if not self.depth:
                    self.seconds += time.perf_counter() - began

        setattr(owner, name, timed)


class Rounds(Silent):
    """Durable and all seconds of each round."""

    def __init__(self, clock: Clock) -> None:
        self.clock, self.rows, self.began = clock, list[tuple[float, float]](), time.perf_counter()

    def round(self, line: dict[str, Any]) -> None:
        """A round is finished."""
        now = time.perf_counter()
        self.rows.append((self.clock.seconds, now - self.began))
        self.clock.seconds, self.began = 0.0, now


def commit() -> tuple[float, float]:
    """Seconds to commit a folder of 52 MB, and to check it."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        run = RunDir(Path(folder))
        (run.begin(1, "optimization") / "model.safetensors").write_bytes(bytes(SIZE))
        began = time.perf_counter()
        run.commit(1, "optimization", {"fingerprint": ""})
        written = time.perf_counter()
        run.done(1, "optimization", "")
        return written - began, time.perf_counter() - written


def main() -> None:
    parser = bench.arguments(__doc__ or "")
    parser.add_argument("--recipe", default="quickstart")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=5, help="of the 52 MB")
    given = parser.parse_args()
    machine = bench.machine()
    big = [commit() for _ in range(given.repeats)]
    clock = Clock()
    for name in ("begin", "commit", "done", "point"):
        clock.around(RunDir, name)
    for name in ("write", "append"):
        clock.around(durable, name)
    clock.around(Runner, "_compare")
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        run = create(given.recipe, [f"rounds={given.rounds}"], Path(folder) / "run")
        rounds = Rounds(clock)
        Runner(run, rounds).run()
    shares = [spent / seconds for spent, seconds in rounds.rows[1:]]
    for number, (spent, seconds) in enumerate(rounds.rows):
        print(f"round {number}: {spent:.3f} of {seconds:.1f} s, {100 * spent / seconds:.2f} %")
    wrote, read = (statistics.median(column) for column in zip(*big, strict=True))
    print(f"largest share of a round after the first: {100 * max(shares):.2f} %, goal 2 %")
    print(f"52 MB: commit {wrote:.2f} s, check {read:.2f} s (median of {given.repeats}), goal 0.5 s")
    bench.save(given.json, machine, rounds=rounds.rows, share=max(shares), commit_52_mb=wrote, check_52_mb=read)


if __name__ == "__main__":
    main()
