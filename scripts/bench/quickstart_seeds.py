"""The quickstart on several seeds: wall time from the command to the verdict, and the gain on the sealed problems.

Each seed is `selfimprove run quickstart --seed SEED` in a process of its own with an empty model cache, so that the
bootstrap of the tiny model is in the time. The goals are at most 180 seconds, a gain of at least 15 points in the
median and of 10 at the least, and intervals above zero.
"""

from __future__ import annotations

import statistics
from typing import Any

import bench


def main() -> None:
    parser = bench.arguments(__doc__ or "")
    parser.add_argument("--recipe", default="quickstart")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    options = parser.parse_args()
    machine = bench.machine()
    rows, output = [], ""
    for seed in options.seeds:
        run = bench.run(options.recipe, seed)
        output = output or run.output
        sealed = run.summary["sealed"]
        rows.append(
            {
                "seed": seed,
                "seconds": run.seconds,
                "cpu_seconds": run.cpu_seconds,
                "evaluation_share": evaluated(run.summary),
                **{name: sealed[name] for name in ("n", "start", "champion", "delta", "ci", "p")},
                "verdict": run.summary["verdict"],
            }
        )
        print(f"seed {seed}: {run.seconds:.0f} s, {run.summary['verdict']}", flush=True)
    bench.show(
        ["seed", "wall s", "CPU s", "evaluation", "start", "champion", "gain, points", "95 % CI", "p"],
        [
            [
                row["seed"],
                f"{row['seconds']:.0f}",
                f"{row['cpu_seconds']:.0f}",
                f"{100 * row['evaluation_share']:.0f} %",
                f"{row['start']:.3f}",
                f"{row['champion']:.3f}",
                f"{100 * row['delta']:+.1f}",
                f"{100 * row['ci'][0]:+.1f} to {100 * row['ci'][1]:+.1f}",
                f"{row['p']:.1g}",
            ]
            for row in rows
        ],
    )
    gains = [row["delta"] for row in rows]
    result = {
        "median_gain": statistics.median(gains),
        "least_gain": min(gains),
        "lowest_bound": min(row["ci"][0] for row in rows),
        "most_seconds": max(row["seconds"] for row in rows),
        "most_cpu_seconds": max(row["cpu_seconds"] for row in rows),
        "most_evaluation_share": max(row["evaluation_share"] for row in rows),
    }
    print(
        f"gain: median {100 * result['median_gain']:+.1f} points, least {100 * result['least_gain']:+.1f}; "
        f"lowest bound of an interval {100 * result['lowest_bound']:+.1f}; longest run {result['most_seconds']:.0f} s, "
        f"{result['most_cpu_seconds']:.0f} s of CPU time; "
        f"evaluation takes up to {100 * result['most_evaluation_share']:.0f} %"
    )
    bench.save(options.json, machine, rows=rows, output=output, **result)


def evaluated(summary: dict[str, Any]) -> float:
    """The share of the run's seconds that went into evaluation, audit, gate and exams."""
    lines = summary["per_round"]
    rounds = sum(line["seconds"].get(step, 0.0) for line in lines for step in ("evaluation", "audit", "gate"))
    work = sum(sum(line["seconds"].values()) for line in lines)
    exams = summary["seconds"] - work
    return (rounds + exams) / summary["seconds"]


if __name__ == "__main__":
    main()
