"""What it costs to run a program in the sandbox, in each tier that this machine offers.

  start      the pool ready, without and with the self-test (goals: 250 ms and 1 s)
  warm       median wall time of one trivial call in one jail, one after another (goal: at most 7 ms)
  per core   executions per second with one jail per core, divided by the cores (goal: at least 150)
  1000 calls one execution that calls a function a thousand times
  asserted   median of a grading by assertions, with the program and the tests in two jails

  cpu        computing time of one execution, of this process and all jails together; other programs disturb it less

Run it on an idle machine: the other figures are wall time. As root, `chrt -f 10 python scripts/bench/sandbox.py` gets
the cores also where others want them.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bench

from selfimprove.errors import EngineError
from selfimprove.safety.sandbox import selftest
from selfimprove.safety.sandbox.grading import Checks, grade
from selfimprove.safety.sandbox.jail_process import Limits, Program
from selfimprove.safety.sandbox.open import TIERS, open_sandbox
from selfimprove.safety.sandbox.runner import Sandbox

SOURCE = "def f(x):\n    return x * x + 1"
COLUMNS = ("start_ms", "self_test_ms", "warm_ms", "cpu_ms", "per_core", "thousand_calls_ms", "asserted_ms")


def main() -> None:
    parser = bench.arguments(__doc__ or "")
    parser.add_argument("--repeats", type=int, default=500)
    options = parser.parse_args()
    machine, found = bench.machine(), {}
    for tier in TIERS:
        try:
            found[tier] = measure(tier, options.repeats, machine["cores"])
        except EngineError as error:
            print(f"tier {tier} is not offered here: {error}")
    bench.show(["tier", *COLUMNS], [[tier, *(row[name] for name in COLUMNS)] for tier, row in found.items()])
    bench.save(options.json, machine, tiers=found)


def measure(tier: str, repeats: int, cores: int) -> dict[str, Any]:
    """The figures of a tier."""
    began, checked = time.perf_counter(), list[float]()
    failure = selftest.failure

    def timed(sandbox: Sandbox) -> str:
        checked.append(time.perf_counter())
        return failure(sandbox)

    selftest.failure = timed
    try:
        with open_sandbox(Limits(), workers=cores, tier=tier) as sandbox:
            opened = time.perf_counter()
            call = Program(SOURCE, function="f", arguments=[[3]])
            many = Program(SOURCE, function="f", arguments=[[3]] * 1000)
            sandbox.map([call] * 20 * cores)
            start, used = time.perf_counter(), cpu_seconds()
            sandbox.map([call] * repeats * cores)
            throughput = repeats * cores / (time.perf_counter() - start)
            used = (cpu_seconds() - used) / (repeats * cores)  # before a jail has run 1000 and its time is lost with it
            warm = median(lambda: sandbox.run(call), repeats)
            checks = Checks(function="f", assertions=("assert f(2) == 5", "assert f(3) == 10"))
            grade(sandbox, SOURCE, checks)
            asserted = median(lambda: grade(sandbox, SOURCE, checks), repeats // 5)
            thousand = median(lambda: sandbox.run(many), 20)
    finally:
        selftest.failure = failure
    return {
        "start_ms": 1000 * (checked[0] - began),
        "self_test_ms": 1000 * (opened - checked[0]),
        "warm_ms": warm,
        "cpu_ms": 1000 * used,
        "per_core": throughput / cores,
        "thousand_calls_ms": thousand,
        "asserted_ms": asserted,
    }


def cpu_seconds() -> float:
    """Computing time so far of this process, of those that it has started, and of theirs that have ended."""
    ticks, left = 0, [str(os.getpid())]
    while left:
        pid = left.pop()
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            for task in Path(f"/proc/{pid}/task").iterdir():
                left += (task / "children").read_text().split()
        except OSError:  # it has ended meanwhile, and is counted with its parent
            continue
        ticks += sum(int(field) for field in fields[11:15])
    return ticks / os.sysconf("SC_CLK_TCK")


def median(work: Callable[[], Any], repeats: int) -> float:
    """Milliseconds."""
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return 1000 * statistics.median(times)


if __name__ == "__main__":
    main()
