"""What marking a completion costs: milliseconds for each rule, and completions a second for mathematics.

The rows are those of the tests. Rules on text and numbers mark them `--times` times, after different words. Mathematics
marks each row once, so that neither this process nor those of `math_worker` remember a formula; two threads share the
processes, as in `selfimprove mark`. `math, asked` are the rows that ask the processes something.
The goals: at most 2 ms for rules on text and numbers, at least 300 completions a second for mathematics on two cores.
"""

from __future__ import annotations

import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import bench

from selfimprove.problems import answers, math_worker

ROWS = Path(__file__).resolve().parents[2] / "tests" / "problems" / "marking.jsonl"
TEXT = ("exact", "choice", "mmlu_pro", "gsm8k", "aime")
THREADS = 2


def main() -> None:
    parser = bench.arguments(__doc__ or "")
    parser.add_argument("--times", type=int, default=20, metavar="N", help="how often each row is marked")
    options = parser.parse_args()
    machine = bench.machine()
    rows = [json.loads(line) for line in ROWS.read_text(encoding="utf-8").splitlines()]
    found = list[dict[str, Any]]()
    for rule in TEXT:
        own = [row for row in rows if row["rule"] == rule]
        found.append({"rule": rule, **pace(own, options.times, threads=1)})
    mathematics = [row for row in rows if answers.RULES[row["rule"]] == "math"]
    begin()
    found.append({"rule": "math", **pace(mathematics, 1, threads=THREADS)})
    asking = [row for row in mathematics if asks(row)]
    math_worker.pool.cache_clear()
    begin()
    found.append({"rule": "math, asked", **pace(asking, 1, threads=THREADS)})
    columns = ("rule", "rows", "completions a second", "ms for one", "of CPU")
    bench.show(columns, [(one["rule"], one["rows"], round(one["pace"]), one["ms"], one["cpu"]) for one in found])
    slowest = max(one["ms"] for one in found[: len(TEXT)])
    print(
        f"text rules at most {slowest:.2f} ms, goal 2; math {found[-2]['pace']:.0f} a second, goal 300 "
        f"({1000 * THREADS / found[-2]['cpu']:.0f} if two cores had nothing else to do)"
    )
    bench.save(options.json, machine, rules=found)


def begin() -> None:
    """Start the processes."""
    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(lambda place: answers.mark("math", f"{place}z", rf"\boxed{{z+{place}z}}"), range(4 * THREADS)))


def pace(rows: list[dict[str, Any]], times: int, threads: int) -> dict[str, float]:
    """Completions a second, and milliseconds of wall time for one."""
    work = [(row["rule"], row["reference"], varied(row["completion"], turn)) for turn in range(times) for row in rows]
    math_worker.ask.cache_clear()
    began, cpu = time.perf_counter(), cpu_seconds()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda one: answers.mark(*one), work))
    seconds, cpu = time.perf_counter() - began, cpu_seconds() - cpu
    return {
        "rows": len(rows),
        "pace": len(work) / seconds,
        "ms": 1000 * seconds / len(work),
        "cpu": 1000 * cpu / len(work),
    }


def cpu_seconds() -> float:
    """CPU time of this process and of those of `math_worker` that run."""
    own = time.process_time()
    for worker in math_worker.pool(os.getpid()).free.queue:
        if worker is not None:
            fields = Path(f"/proc/{worker.pid}/stat").read_text().rpartition(")")[2].split()
            own += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return own


def varied(text: str, turn: int) -> str:
    """The completion after some words of its own."""
    return f"Let us see, this is attempt {turn}.\n\n{text}"


def asks(row: dict[str, Any]) -> bool:
    """Whether marking a row asks the processes something."""
    math_worker.ask.cache_clear()
    answers.mark(row["rule"], row["reference"], row["completion"])
    return math_worker.ask.cache_info().misses > 0


if __name__ == "__main__":
    main()
