"""What orchestration costs: refinements that answer in waves, against the engine's time for the same tokens.

Each repeat lets a method answer the selection problems of a recipe's start model. Everything that the engine is asked
for is written down, wave by wave; then a second engine with the same options is asked for the same: once wave by wave,
and once all in one call. From that come
  run    the method's own time: routines, seeds, votes, tools, marks, and the engine's calls in between;
  waves  the second engine's time for the same calls;
  one    the second engine's time for all of it in one call, which no method with several waves could make.
The share is run over waves, less 1; the goal is at most 0.05. CPU time decides, because other programs disturb it less
than wall time; both are shown. The calls of the engine are counted beside the waves in which anything was drawn: there
must not be more calls than waves.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import bench

METHODS = (
    "self_consistency:samples=8",
    "adaptive_consistency",
    "critic",
    "plan_and_solve",
    "mcts:separator=;:iterations=4",
)
"""One that draws once, one that stops when it has enough, one with a tool, one that asks in other roles, a search."""


@dataclass
class Noted:
    """What an engine was asked for, call by call, and the waves in which something was drawn."""

    calls: list[list[Any]] = field(default_factory=list)
    waves: int = 0


def now() -> tuple[float, float]:
    """The clocks of wall and CPU time in seconds."""
    return time.perf_counter(), time.process_time()


def timed(work: Callable[[], Any]) -> tuple[float, float]:
    """Wall and CPU seconds of a piece of work."""
    wall, cpu = now()
    work()
    ended, used = now()
    return ended - wall, used - cpu


def main() -> None:
    parser = bench.arguments(__doc__ or "")
    parser.add_argument("--recipe", default="word_problems")
    parser.add_argument("--problems", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--methods", nargs="*", default=[*METHODS], help="as in selfimprove refine --methods")
    options = parser.parse_args()
    machine = bench.machine()
    with tempfile.TemporaryDirectory() as folder:
        rows = measured(options.recipe, options.methods, options.problems, options.repeats, Path(folder))
    heads = ("method", "tokens", "waves", "calls", "run s", "waves s", "one s", "share", "of wall time")
    shown = ("method", "tokens", "waves", "calls", "run", "in_waves", "in_one", "share", "wall_share")
    bench.show(heads, [[f"{row[name]:.3f}" if "share" in name else row[name] for name in shown] for row in rows])
    worst = max(row["share"] for row in rows)
    print(f"largest share {worst:+.3f}; more calls than waves: {sum(row['calls'] > row['waves'] for row in rows)}")
    bench.save(options.json, machine, problems=options.problems, worst=worst, rows=rows)


def measured(recipe: str, methods: Sequence[str], problems: int, repeats: int, folder: Path) -> list[dict[str, Any]]:
    """A row for each method."""
    from selfimprove.inference.routines import Draw, Logprobs
    from selfimprove.inference.waves import Waves
    from selfimprove.logs import Silent
    from selfimprove.recipe import compose
    from selfimprove.studies.answering import Model
    from selfimprove.studies.chains import chains
    from selfimprove.studies.subject import subject_of

    quiet, noted = Silent(), Noted()
    subject = subject_of(recipe, [], folder, quiet)
    serve = Waves.serve

    def served(self: Waves, waiting: Any) -> Any:
        noted.waves += any(isinstance(strand.waits, Draw) for strand in waiting)
        assert not any(isinstance(strand.waits, Logprobs) for strand in waiting), "only draws are repeated here"
        return serve(self, waiting)

    rows = list[dict[str, Any]]()
    with Model.open(subject, [], problems, 0, folder, quiet) as model:
        engine, second = model.base.the("engine"), compose.load(recipe)[0].the("engine")
        draw = engine.draw

        def drawn(asks: Any, log: Any) -> Any:
            noted.calls.append(list(asks))
            return draw(asks, log)

        engine.draw, Waves.serve = drawn, served
        try:
            for chain in chains(methods):
                made = compose.load(recipe, chain.overrides([]))[0]
                again = partial(once, model, made, model.fitted(made, chain.name), second, noted)
                outcomes, *spent = [again() for _ in range(repeats + 1)]  # the first one warms everything up
                tokens = outcomes[0]
                spent = [ways for _, *ways in spent]
                (run_wall, run), (waves_wall, waves), (_, one) = (
                    tuple(statistics.median(pair[place] for pair in column) for place in (0, 1))
                    for column in zip(*spent, strict=True)
                )
                rows.append(
                    {
                        "method": chain.name,
                        "tokens": tokens,
                        "waves": noted.waves,
                        "calls": len(noted.calls),
                        "run": run,
                        "in_waves": waves,
                        "in_one": one,
                        "share": statistics.median(way[0][1] / way[1][1] for way in spent) - 1,
                        "wall_share": statistics.median(way[0][0] / way[1][0] for way in spent) - 1,
                        "run_wall": run_wall,
                        "waves_wall": waves_wall,
                    }
                )
                print(f"{chain.name}: run {run:.2f} s, waves {waves:.2f} s, one call {one:.2f} s", flush=True)
        finally:
            Waves.serve = serve
            second.close()
    return rows


def once(model: Any, recipe: Any, learned: Any, second: Any, noted: Noted) -> tuple[Any, ...]:
    """Mean tokens of an answer, and the seconds of the three ways."""
    from selfimprove.interfaces import Budget
    from selfimprove.logs import Silent

    noted.calls, noted.waves, marks = [], 0, list[Any]()
    run = timed(lambda: marks.extend(model.answered(recipe, Budget(), learned)[0]))
    calls = list(noted.calls)
    waves = timed(lambda: [second.draw(asks, Silent()) for asks in calls])
    one = timed(lambda: second.draw([ask for asks in calls for ask in asks], Silent()))
    return sum(mark.tokens for mark in marks) / len(marks), run, waves, one


if __name__ == "__main__":
    main()
