"""What a band of pass rates leaves out, for several numbers of attempts, on a pool of solved and hopeless problems.

A model is taught sums of up to six digits for 1,500 steps, as the judge of selection_worth.py. The pool has sums of
two to nine digits, from those that it always solves to those that it never does; a third of it is planted hopeless:
nothing equals the reference answer. selection.pass_rate_band, and the groups that sampler.online_band counts, go by
the first 4, 8, 16 and 32 attempts. Apart from the plant, 64 other attempts tell what a problem is: `solved` at a rate
of .95 and more, `hopeless` at .05 and less, `middling` at .3 to .7. The goal is that .95 of the solved and of the
hopeless ones go; middling ones should stay.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import bench
import selection_worth

from selfimprove.interfaces import Sampling
from selfimprove.logs import Silent
from selfimprove.methods.engine.transformers import Transformers
from selfimprove.methods.sampler.online_band import OnlineBand
from selfimprove.methods.selection.pass_rate_band import PassRateBand
from selfimprove.methods.task.chain_sums import ChainSums

ATTEMPTS = (4, 8, 16, 32)
TOLD = 64
"""Further attempts, by which a problem is called solved, hopeless or middling."""
PLANT = "planted hopeless"
RATES = {"solved": (0.95, 1.0), "hopeless": (0.0, 0.05), "middling": (0.3, 0.7)}


def main() -> None:
    parser = bench.arguments(__doc__ or "")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--problems", type=int, default=240, help="problems in the pool")
    parser.add_argument("--models", type=Path, help="where taught models are kept; default is a new folder")
    options = parser.parse_args()
    machine = bench.machine()
    made: dict[tuple[str, int, str], list[bool]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for seed in options.seeds:
            for key, gone in left_out(*attempted(options.models or Path(folder), seed, options.problems)).items():
                made.setdefault(key, []).extend(gone)
    rows = [
        {
            "method": method,
            "attempts": n,
            "kind": kind,
            "problems": len(gone),
            "left out": sum(gone) / max(1, len(gone)),
        }
        for (method, n, kind), gone in made.items()
    ]
    bench.show(list(rows[0]), [list(row.values()) for row in rows])
    bench.save(options.json, machine, rows=rows)


def attempted(models: Path, seed: int, n: int) -> tuple[list[list[Any]], list[bool]]:
    """The attempts at each problem of the pool, with their marks as rewards; and whether it was planted hopeless."""
    task, engine = ChainSums(gap_share=0.0), Transformers(max_completion_length=48)
    start = selection_worth.taught(models / "judge", selection_worth.LONGER, task, 2)
    problems = replace(task, min_length=2, max_length=9).problems("train", n, seed)
    planted = [place % 3 == 0 for place in range(n)]
    pool = [replace(one, answer="none") if lost else one for one, lost in zip(problems, planted, strict=True)]
    blind = [one.blind() for one in pool]
    drawn = engine.sample(start, blind, max(ATTEMPTS) + TOLD, Sampling(temperature=1.0), seed, Silent())
    marked = [
        [replace(one, reward=task.verify(problem, one.text) or 0.0) for one in group]
        for problem, group in zip(pool, drawn, strict=True)
    ]
    return marked, planted


def left_out(marked: list[list[Any]], planted: list[bool]) -> dict[tuple[str, int, str], list[bool]]:
    """(method, attempts, kind) -> for each problem of the kind whether it is left out."""
    kinds = [kinds_of(group[-TOLD:], lost) for group, lost in zip(marked, planted, strict=True)]
    context: Any = SimpleNamespace(log=Silent())

    def band(group: list[Any]) -> bool:
        return not PassRateBand().select(group, context)

    def online(group: list[Any]) -> bool:
        return not OnlineBand()._counts([one.reward for one in group], widened=False)

    methods: dict[str, Callable[[list[Any]], bool]] = {"pass_rate_band": band, "online_band": online}
    return {
        (name, n, kind): [gone(group[:n]) for group, own in zip(marked, kinds, strict=True) if kind in own]
        for name, gone in methods.items()
        for n in ATTEMPTS
        for kind in (PLANT, *RATES)
    }


def kinds_of(further: list[Any], lost: bool) -> list[str]:
    """What a problem was planted as, and what further attempts call it."""
    rate = sum(one.reward for one in further) / len(further)
    return [PLANT] * lost + [kind for kind, (low, high) in RATES.items() if low <= rate <= high]


if __name__ == "__main__":
    main()
