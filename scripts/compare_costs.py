"""Compare what `check` says a recipe takes with what finished runs really took: "at most" must be above, and near.

    python scripts/compare_costs.py --runs FOLDER --run            # every recipe of the tiny model, small, two rounds
    python scripts/compare_costs.py --runs FOLDER                  # the table of what lies there

A run that was stopped goes on; one that is finished is left alone. The sizes are those of SMALL, and counts of problems
and of steps beyond them are lowered; `check` is asked for the same recipe, as it lies in the run folder.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from selfimprove.costs import NOTHING
from selfimprove.errors import UserError
from selfimprove.recipe import compose
from selfimprove.recipe.cost import estimate
from selfimprove.report.finished import summary_of
from selfimprove.report.pace import taken

SMALL = {
    "rounds": 2,
    "gate_problems": 60,
    "sealed_problems": 60,
    "probe_problems": 10,
    "audit_problems": 40,
    "control_problems": 30,
}
PROBLEMS, STEPS = 60, 15
"""Training problems of a round and steps of a training at most."""


def recipes() -> list[str]:
    """The shipped recipes that the tiny model runs."""
    names = sorted(path.stem for path in compose.shipped().glob("*.yaml"))
    return [name for name in names if "tiny" in compose.load(name)[0].model]


def changes(name: str) -> list[str]:
    """What makes a recipe small."""
    _, settings = compose.load(name)
    made = [f"{key}={value}" for key, value in SMALL.items() if settings[key] > value or key == "rounds"]
    for slot, option, most in (("acquisition", "problems", PROBLEMS), ("optimization", "max_steps", STEPS)):
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


def compare(folder: Path) -> Iterator[Line]:
    """The numbers of a finished run that are not 0: of the whole run, and the completions of its parts.

    What a run did not come to is left out: it is compared by the rounds that it has.
    """
    summary = summary_of(folder)
    price = estimate(compose.load(folder / "recipe.yaml", [f"rounds={summary['rounds']}"])[0])
    parts = taken(folder)
    total = sum((part.cost for part in parts.values()), NOTHING)
    for what in ("completions", "tokens", "scored", "steps"):
        said, took = getattr(price.run, what), getattr(total, what)
        if took or said:
            yield Line(folder.name, what, said, took)
    for name, part in parts.items():
        said, took = price.parts[name].completions, part.cost.completions
        if took or said:
            yield Line(folder.name, name, said, took)


def table(lines: Sequence[Line]) -> str:
    """A row for each recipe with what was said over what was taken; medians below; what was said too low in words."""
    names = ("completions", "steps", "scored", "tokens", "data", "training", "evaluation", "audit", "exam")
    rows: dict[str, dict[str, Line]] = {}
    for line in lines:
        rows.setdefault(line.recipe, {})[line.what] = line
    said = [f"| recipe | completions drawn | {' | '.join(names)} |", "| --- |" + " --- |" * (len(names) + 1)]
    for recipe, own in rows.items():
        cells = (f"{own[name].ratio:.2f}" if name in own and own[name].took else "-" for name in names)
        said.append(f"| {recipe} | {own['completions'].took:,} | {' | '.join(cells)} |")
    found = {name: [own[name].ratio for own in rows.values() if name in own and own[name].took] for name in names}
    cells = (f"{median(ratios):.2f}" if ratios else "-" for ratios in found.values())
    said.append(f"| median of {len(rows)} | | {' | '.join(cells)} |")
    low = [f"{one.recipe}: {one.what}: said {one.said}, took {one.took}" for one in lines if one.said < one.took]
    return "\n".join([*said, "", *(low or ["nothing was said too low"])])


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, required=True, help="folder of the run folders")
    parser.add_argument("--run", nargs="*", metavar="RECIPE", help="run these recipes first; none named: all")
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
    sys.exit(any(line.said < line.took for line in lines))


if __name__ == "__main__":
    main()
