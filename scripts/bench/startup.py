"""How fast the command line answers: median wall time of commands that need no model, and that none imports torch.

The goals are 0.3 seconds for --help, 1 for list and 2 for check.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

import bench

GOALS = {("--help",): 0.3, ("list",): 1.0, ("check", "quickstart"): 2.0}
"""Command -> the most seconds that it may take."""
PROBE = """
import sys
sys.argv = ["selfimprove", *sys.argv[1:]]
from selfimprove.cli import main
try:
    main()
except SystemExit:
    pass
print("torch" in sys.modules, file=sys.stderr)
"""


def main() -> None:
    parser = bench.arguments(__doc__ or "")
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    machine = bench.machine()
    rows = []
    for command, goal in GOALS.items():
        walls = [wall(command) for _ in range(options.repeats)]
        rows.append(
            {
                "command": " ".join(command),
                "seconds": statistics.median(walls),
                "slowest": max(walls),
                "goal": goal,
                "torch": imports_torch(command),
            }
        )
    bench.show(
        ["selfimprove ...", "median s", "slowest s", "goal s", "imports torch"],
        [
            [row["command"], row["seconds"], row["slowest"], row["goal"], "yes" if row["torch"] else "no"]
            for row in rows
        ],
    )
    bench.save(options.json, machine, rows=rows)
    if any(row["torch"] for row in rows):
        sys.exit("torch is imported by a command that needs no model")


def wall(command: tuple[str, ...]) -> float:
    """Seconds of one call."""
    began = time.perf_counter()
    subprocess.run([bench.COMMAND, *command], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def imports_torch(command: tuple[str, ...]) -> bool:
    """Whether torch is loaded at the end of a command."""
    probe = [sys.executable, "-c", PROBE, *command]
    done = subprocess.run(probe, check=True, capture_output=True, text=True)
    return done.stderr.split()[-1] == "True"


if __name__ == "__main__":
    main()
