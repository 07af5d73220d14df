"""The cost of the steps of a run (completions, scores, training steps and seconds, from `step.json`), and an estimate's
tokens and hours at that pace.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from selfimprove.costs import NOTHING, Cost
from selfimprove.errors import DataError
from selfimprove.loop.origin import began
from selfimprove.recipe.cost import Estimate
from selfimprove.store.run_folder import RunDir

PARTS = {
    **dict.fromkeys(("acquisition", "selection"), "data"),
    "optimization": "training",
    **dict.fromkeys(("refinement", "evaluation", "gate", "controller", "confirmation"), "evaluation"),
    "audit": "audit",
    **dict.fromkeys(("null", "sealed"), "exam"),
}
"""Stage -> its part of an estimate."""


@dataclass(frozen=True)
class Part:
    """The cost of one part of a run."""

    cost: Cost = NOTHING
    seconds: float = 0.0


def taken(folder: Path) -> dict[str, Part]:
    """The cost of each part of a run, over all finished rounds.

    Raises:
        MissingError: there is no run in the folder.
        DataError: no step recorded its completions, or a step is damaged.
    """
    run, parts = RunDir.open(folder), dict.fromkeys(PARTS.values(), Part())
    for step in sorted(folder.glob("round_*/[!.]*/step.json")):
        stage, number = step.parent.name, int(step.parent.parent.name.removeprefix("round_"))
        part = PARTS.get(stage.partition(".")[0])
        if part is None:
            continue
        counts, before = run.manifest(number, stage).get("counts", {}), parts[part]
        cost = Cost(
            **{name: int(counts.get("drawn_tokens" if name == "tokens" else name, 0)) for name in NOTHING._fields}
        )
        parts[part] = Part(before.cost + cost, before.seconds + run.seconds(number, stage))
    if not any(part.cost.completions for part in parts.values()):
        raise DataError(f"no step in {folder} recorded its completions; name a run made with this version")
    return parts


@dataclass(frozen=True)
class Expected:
    """An estimate in tokens and hours, at the pace of a measured run."""

    tokens: int
    """Tokens of all completions, with the measured length in each part."""
    hours: float


def expected(price: Estimate, measured: Mapping[str, Part]) -> Expected:
    """The tokens and hours of an estimate, each part at its measured pace."""
    tokens = seconds = 0.0
    for name, part in measured.items():
        planned, done = price.parts[name], part.cost
        seconds += part.seconds * (_scale(name, planned, done) or 0.0)
        tokens += planned.completions * done.tokens / max(1, done.completions)
    return Expected(round(tokens), seconds / 3600)


def _scale(name: str, planned: Cost, done: Cost) -> float | None:
    """Planned work divided by measured work; None if planned work was not measured."""
    pairs = [(planned.steps, done.steps), (planned.completions, done.completions)]
    pairs = pairs if name == "training" else pairs[1:]
    found = next((wanted / took for wanted, took in pairs if took), None)
    return 1.0 if found is None and not any(wanted for wanted, _ in pairs) else found


def like(price: Estimate, folder: Path, recipe: str) -> Expected:
    """The tokens and hours of an estimate, each part at the pace of a run of the same recipe.

    Raises:
        UserError: the run is of another recipe, or has not finished some part.
    """
    made = began(RunDir.open(folder)).get("recipe")
    if made != recipe:
        raise DataError(f"{folder} is a run of {made}, not of {recipe}; name a run of the same recipe")
    done = taken(folder)
    for name, part in done.items():
        if _scale(name, price.parts[name], part.cost) is None:
            raise DataError(f"{folder} has finished no step of {name}; finish it: selfimprove resume {folder}")
    return expected(price, done)
