"""Whether a round costs more when many came before it, and how long it takes to resume a run that is finished.

The rehearsal of `selfimprove.trials.rehearsal`, a run without a model, is carried out with each number of rounds. What
counts is the median CPU time of the last tenth of its rounds, at least ten: the loop's own work, from one line of
metrics.jsonl to the next. The same round takes up to twice as long a minute later on a shared machine, so right after
each longer run the shortest is carried out again, and the ratio is to that. Then the longest run, finished, is resumed
by the whole command in a process of its own, a few times; every checksum is looked at again.
The goals: the last of the numbers costs at most 1.5 times the first, and the resume takes at most 5 s.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import bench

from selfimprove.logs import Silent


class Clock(Silent):
    """CPU seconds of each round."""

    def __init__(self) -> None:
        self.rounds, self.began = list[float](), time.process_time()

    def round(self, line: dict[str, Any]) -> None:
        """A round is finished."""
        now = time.process_time()
        self.rounds.append(now - self.began)
        self.began = now


def main() -> None:
    parser = bench.arguments(__doc__ or "")
    parser.add_argument("--rounds", type=int, nargs="+", default=[20, 200, 1000], metavar="N")
    parser.add_argument("--resumes", type=int, default=3, metavar="N", help="of the longest run; the median counts")
    parser.add_argument("--resume", type=Path, metavar="RUN", help="resume this run of the rehearsal, and no more")
    options = parser.parse_args()
    if options.resume:
        return resume(options.resume)
    machine = bench.machine()
    from selfimprove.trials import rehearsal

    rows = list[dict[str, float]]()
    with tempfile.TemporaryDirectory() as folder:
        recipe, load = rehearsal.write_recipe(Path(folder)), rehearsal.composer()
        for number, rounds in enumerate(options.rounds):
            each = carried_out(recipe, load, rounds, Path(folder) / str(rounds))
            beside = carried_out(recipe, load, options.rounds[0], Path(folder) / f"beside_{number}") if number else each
            rows.append({"rounds": rounds, "ms": each, "beside": beside, "ratio": each / beside})
            print(f"{rounds} rounds: {each:.1f} ms, right after it {beside:.1f}", flush=True)
        longest = max(options.rounds)
        seconds = [whole_resume(Path(folder) / str(longest)) for _ in range(options.resumes)]
    heads = ["rounds", "CPU ms per round", f"of {options.rounds[0]} rounds, right after", "ratio"]
    bench.show(heads, [[*row.values()] for row in rows])
    resumed = statistics.median(seconds)
    print(f"ratio {rows[-1]['ratio']:.2f}, goal 1.5; a resume after {longest} rounds: {resumed:.1f} s, goal 5 s")
    bench.save(options.json, machine, rows=rows, ratio=rows[-1]["ratio"], resumed=longest, resume_seconds=resumed)


def carried_out(recipe: Path, load: Any, rounds: int, place: Path) -> float:
    """Median CPU milliseconds of the last rounds of a new run."""
    from selfimprove.loop.begin import create
    from selfimprove.loop.loop import Runner

    clock = Clock()
    Runner(create(str(recipe), [f"rounds={rounds}"], place, load=load), clock, load).run()
    return 1000 * statistics.median(clock.rounds[-max(10, rounds // 10) :])


def whole_resume(root: Path) -> float:
    """Wall seconds of `selfimprove resume`, from the start of the process to its end."""
    began = time.perf_counter()
    command = [sys.executable, __file__, "--resume", str(root)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}")
    return time.perf_counter() - began


def resume(root: Path) -> None:
    """What the command `selfimprove resume` does, for a recipe with methods of the rehearsal."""
    from selfimprove.cli import main  # noqa: F401  # the command imports all of it
    from selfimprove.cli.run import finish
    from selfimprove.trials import rehearsal

    finish(root, None, load=rehearsal.composer())


if __name__ == "__main__":
    main()
