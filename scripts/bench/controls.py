"""The two controls: a reward that knows nothing must gain nothing, and majority labels must show their known failure.

The failure shows only where nothing stops it: `majority_vote` runs with a gate that lets every candidate on, and once
more as it is shipped, with the gate `ratchet` and the alarms.

`random_reward` runs on several seeds; each must end with "no significant gain". `majority_vote` shows by round how
precise the majority's labels are and how accurate each candidate is; its champion must stay the start. A start model
is built once per seed and taken from the cache by the other recipe.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import bench


def main() -> None:
    parser = bench.arguments(__doc__ or "")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2, 3, 4], help="seeds of random_reward")
    parser.add_argument("--majority-seeds", type=int, nargs="*", default=[0, 1, 2], help="seeds of majority_vote")
    parser.add_argument("--cache", type=Path, help="where start models are kept; default is a new folder")
    options = parser.parse_args()
    machine = bench.machine()
    with tempfile.TemporaryDirectory() as folder:
        cache = (options.cache or Path(folder)).resolve()
        random = [control("random_reward", seed, cache) for seed in options.seeds]
        lax = ["gate=paired_test", "gate.paired_test.accept_alpha=1.0", "alarm=[]"]
        majority = [control("majority_vote", seed, cache, lax) for seed in options.majority_seeds]
        guarded = [control("majority_vote", seed, cache) for seed in options.majority_seeds]
    bench.show(
        ["recipe", "seed", "start", "champion", "significant gain"],
        [
            [
                row["recipe"],
                row["seed"],
                f"{row['start']:.3f}",
                f"{row['champion']:.3f}",
                "yes" if row["gain"] else "no",
            ]
            for row in [*random, *majority, *guarded]
        ],
    )
    rounds = [("lax gate", row) for row in majority] + [("as shipped", row) for row in guarded]
    bench.show(
        ["majority_vote", "round", "label precision", "candidate accuracy", "verdict"],
        [
            [
                f"seed {row['seed']}, {how}",
                line["round"],
                number(line["precision"]),
                number(line["accuracy"]),
                line["verdict"],
            ]
            for how, row in rounds
            for line in row["rounds"]
        ],
    )
    clean = sum(not row["gain"] for row in random)
    kept = sum(row["champion_round"] == 0 for row in [*majority, *guarded])
    print(f"random_reward: no significant gain on {clean} of {len(random)} seeds")
    print(f"majority_vote: the start stays champion in {kept} of {2 * len(majority)} runs")
    bench.save(options.json, machine, random_reward=random, majority_vote=majority, guarded=guarded)


def control(recipe: str, seed: int, cache: Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Run a control and keep what its claim rests on."""
    run = bench.run(recipe, seed, cache=cache, overrides=overrides)
    summary = run.summary
    print(f"{recipe}, seed {seed}: {summary['verdict']}", flush=True)
    sealed = summary["sealed"]
    return {
        "recipe": recipe,
        "seed": seed,
        "start": sealed["start"],
        "champion": sealed["champion"],
        "champion_round": sealed["champion_round"],
        "gain": not summary["verdict"].startswith("no significant gain"),
        "verdict": summary["verdict"],
        "output": run.output.replace(str(cache), "CACHE"),
        "rounds": [
            {
                "round": line["round"],
                "precision": line.get("selection/label_precision"),
                "accuracy": line.get("candidate/accuracy", line["champion/accuracy"])["value"],
                "verdict": line["decision"]["verdict"] if line["round"] else "start",
                "alerts": [alert["alarm"] for alert in line["alerts"]],
            }
            for line in summary["per_round"]
        ],
    }


def number(value: float | None) -> str:
    """Three digits, or a dash."""
    return "-" if value is None else f"{value:.3f}"


if __name__ == "__main__":
    main()
