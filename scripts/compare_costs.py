"""Compare what `check` says a recipe takes with what finished runs really took: "at most" must be above, and near.

    python scripts/compare_costs.py --runs FOLDER --run            # every recipe of the tiny model, small, two rounds
    python scripts/compare_costs.py --runs FOLDER                  # the table of what lies there
    python scripts/compare_costs.py --runs FOLDER --json FILE      # its numbers too; those of other recipes stay

A run that was stopped goes on; one that is finished is left alone. The sizes are those of SMALL, and counts of problems
and of steps beyond them are lowered; `check` is asked for the same recipe, as it lies in the run folder.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from selfimprove.costs import NOTHING
from selfimprove.errors import UserError
from selfimprove.recipe import compose
from selfimprove.recipe.cost import estimate
from selfimprove.report.pace import expected, taken

SMALL = {
    "rounds": 2,
    "gate_problems": 60,
    "sealed_problems": 60,
    "probe_problems": 10,
    "audit_problems": 40,
    "control_problems": 30,
}
PROBLEMS, STEPS, START = 60, 15, 1500
"""At most so many training problems of a round, steps of its training, and steps of the start model's."""


def recipes() -> list[str]:
    """The shipped recipes that the tiny model runs."""
    names = sorted(path.stem for path in compose.shipped().glob("*.yaml"))
    return [name for name in names if tiny(name)]


def tiny(name: str) -> bool:
    """Whether the tiny model runs a recipe."""
    return "tiny" in compose.load(name)[0].model


def changes(name: str) -> list[str]:
    """What makes a recipe small."""
    _, settings = compose.load(name)
    made = [f"{key}={value}" for key, value in SMALL.items() if settings[key] > value or key == "rounds"]
    for slot, option, most in (
        ("acquisition", "problems", PROBLEMS),
        ("optimization", "max_steps", STEPS),
        ("model", "max_steps", START),
    ):
        for method, options in settings[slot].items():
            value = options.get(option, -1)
            if value is None or value > most:
                made.append(f"{slot}.{method}.{option}={most}")
    judges = [method for method, options in settings["reward"].items() if "trust" in options]
    return [*made, *(f"reward.{method}.trust=true" for method in judges)]


def run(name: str, folder: Path) -> str:
    """Run a recipe, or finish its run; what came of it."""
    if (folder / "summary.json").exists():
        return "finished before"
    command = ["resume", str(folder)] if folder.exists() else ["run", name, "--out", str(folder), *changes(name)]
    with (folder.parent / f"{name}.log").open("a") as log:
        done = subprocess.run([sys.executable, "-m", "selfimprove", *command], stdout=log, stderr=subprocess.STDOUT)
    return "finished" if done.returncode == 0 else f"ended with {done.returncode}, see {log.name}"


@dataclass(frozen=True)
class Line:
    """A number of a run: what `check` says of it, and what was taken."""

    recipe: str
    what: str
    said: int
    took: int

    @property
    def ratio(self) -> float:
        """How often what was taken goes into what was said."""
        return self.said / self.took

    @property
    def low(self) -> bool:
        """Whether a run took more than the most that was said."""
        return self.said < self.took and self.what != AS_LONG


AS_LONG = "tokens as long as they were"
"""Tokens if each completion of a part is as long as those of the run: what is expected, no bound."""
WHOLE = ("completions", "scored", "steps", "tokens", AS_LONG)
PARTS = ("data", "training", "evaluation", "audit", "exam")


def compare(folder: Path) -> Iterator[Line]:
    """The numbers of a finished run that are not 0: of the whole run, and the completions of its parts.

    What a run did not come to is left out: it is compared by the rounds that it has begun.
    """
    rounds = sum((begun / "acquisition").exists() for begun in folder.glob("round_*"))
    price = estimate(compose.load(folder / "recipe.yaml", [f"rounds={rounds}"])[0])
    parts = taken(folder)
    total = sum((part.cost for part in parts.values()), NOTHING)
    found = [(what, getattr(price.run, what), getattr(total, what)) for what in WHOLE if what != AS_LONG]
    found.append((AS_LONG, expected(price, parts).tokens, total.tokens))
    found += [(name, price.parts[name].completions, part.cost.completions) for name, part in parts.items()]
    for what, said, took in found:
        if said or took:
            yield Line(folder.name, what, said, took)


def middle(lines: Sequence[Line], what: str) -> float | None:
    """The median of a column; None where no run took anything of it."""
    ratios = [line.ratio for line in lines if line.what == what and line.took]
    return median(ratios) if ratios else None


def worst(lines: Sequence[Line], what: str) -> Line | None:
    """The number of a column that was said farthest too high."""
    return max((line for line in lines if line.what == what and line.took), key=lambda one: one.ratio, default=None)


def table(lines: Sequence[Line]) -> str:
    """A row for each recipe with what was said over what was taken; medians below; what was said too low in words."""
    names = (*WHOLE, *PARTS)
    rows: dict[str, dict[str, Line]] = {}
    for line in lines:
        rows.setdefault(line.recipe, {})[line.what] = line
    said = [f"| recipe | completions drawn | {' | '.join(names)} |", "| --- |" + " --- |" * (len(names) + 1)]
    for recipe, own in rows.items():
        cells = (f"{own[name].ratio:.2f}" if name in own and own[name].took else "-" for name in names)
        said.append(f"| {recipe} | {own['completions'].took:,} | {' | '.join(cells)} |")
    medians = {name: middle(lines, name) for name in names}
    cells = ("-" if value is None else f"{value:.2f}" for value in medians.values())
    said.append(f"| median of {len(rows)} | | {' | '.join(cells)} |")
    low = [f"{one.recipe}: {one.what}: said {one.said}, took {one.took}" for one in lines if one.low]
    return "\n".join([*said, "", *(low or ["nothing was said too low"])])


def figures(lines: Sequence[Line]) -> dict[str, Any]:
    """What docs/results/costs.json holds."""
    columns = [what for what in (*WHOLE, *PARTS) if middle(lines, what) is not None]
    return {
        "command": "python scripts/compare_costs.py --runs FOLDER --run",
        "recipes": len({line.recipe for line in lines}),
        "too_low": [f"{one.recipe}: {one.what}" for one in lines if one.low],
        "columns": [
            {"what": what, "median": round(middle(lines, what) or 0, 3), "worst": round(far.ratio, 3), "of": far.recipe}
            for what in columns
            if (far := worst(lines, what)) is not None
        ],
        "rows": [asdict(line) for line in lines],
    }


def others(file: Path, lines: Sequence[Line]) -> list[Line]:
    """The numbers that a file holds of recipes that are not among the lines."""
    if not file.exists():
        return []
    known = [Line(**row) for row in json.loads(file.read_text())["rows"]]
    return [line for line in known if line.recipe not in {one.recipe for one in lines}]


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, required=True, help="folder of the run folders")
    parser.add_argument("--run", nargs="*", metavar="RECIPE", help="run these recipes first; none named: all")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the numbers in this file")
    given = parser.parse_args()
    given.runs.mkdir(parents=True, exist_ok=True)
    for name in (given.run or recipes()) if given.run is not None else ():
        print(f"{name}: {run(name, given.runs / name)}", flush=True)
    lines = list[Line]()
    for folder in sorted(path.parent for path in given.runs.glob("*/summary.json")):
        try:
            lines += compare(folder)
        except UserError as error:
            print(f"{folder.name}: left out: {error}")
    if lines:
        print(table(lines))
    if given.json and lines:
        both = sorted([*others(given.json, lines), *lines], key=lambda line: line.recipe)
        given.json.write_text(json.dumps(figures(both), indent=1) + "\n")
    sys.exit(any(line.low for line in lines))


if __name__ == "__main__":
    main()
