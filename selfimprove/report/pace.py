"""What the steps of a run took: completions, scores and training steps as they noted them, and seconds; and what an
estimate comes to at that pace.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from selfimprove.costs import NOTHING, Cost
from selfimprove.errors import DataError
from selfimprove.recipe.cost import Estimate
from selfimprove.store.run_folder import RunDir

PARTS = {
    **dict.fromkeys(("acquisition", "selection"), "data"),
    "optimization": "training",
    **dict.fromkeys(("refinement", "evaluation", "gate", "controller", "confirmation"), "evaluation"),
    "audit": "audit",
    **dict.fromkeys(("null", "sealed"), "exam"),
}
"""Stage -> the part of an estimate that it belongs to."""


@dataclass(frozen=True)
class Part:
    """What a part of a run took."""

    cost: Cost = NOTHING
    seconds: float = 0.0


def taken(folder: Path) -> dict[str, Part]:
    """What each part of a run took so far, in all of its finished rounds.

    Raises:
        MissingError: there is no run in the folder.
        DataError: no step of it noted what it drew, or a step is damaged.
    """
    run, parts = RunDir.open(folder), dict.fromkeys(PARTS.values(), Part())
    for step in sorted(folder.glob("round_*/[!.]*/step.json")):
        stage, number = step.parent.name, int(step.parent.parent.name.removeprefix("round_"))
        part = PARTS.get(stage.partition(".")[0])
        if part is None:
            continue
        counts, before = run.manifest(number, stage)["counts"], parts[part]
        cost = Cost(
            **{name: int(counts.get("drawn_tokens" if name == "tokens" else name, 0)) for name in vars(NOTHING)}
        )
        parts[part] = Part(before.cost + cost, before.seconds + run.seconds(number, stage))
    if not any(part.cost.completions for part in parts.values()):
        raise DataError(f"no step in {folder} says what it drew; name a run that this version has made")
    return parts


@dataclass(frozen=True)
class Expected:
    """What an estimate comes to where its parts go as others went."""

    tokens: int
    """Tokens of all completions, each part's as long as it was measured."""
    hours: float


def expected(price: Estimate, measured: Mapping[str, Part]) -> Expected:
    """The tokens and hours of an estimate, each part at the pace that was measured for it."""
    tokens = seconds = 0.0
    for name, part in measured.items():
        planned, done = price.parts[name], part.cost
        seconds += part.seconds * (_scale(name, planned, done) or 0.0)
        tokens += planned.completions * done.tokens / max(1, done.completions)
    return Expected(round(tokens), seconds / 3600)


def _scale(name: str, planned: Cost, done: Cost) -> float | None:
    """How many times what was done is planned; None where nothing was done of what is planned."""
    pairs = [(planned.steps, done.steps), (planned.completions, done.completions)]
    pairs = pairs if name == "training" else pairs[1:]
    found = next((wanted / took for wanted, took in pairs if took), None)
    return 1.0 if found is None and not any(wanted for wanted, _ in pairs) else found


def like(price: Estimate, folder: Path, recipe: str) -> Expected:
    """What an estimate comes to, each part at the pace of a run of the same recipe.

    Raises:
        UserError: the run is of another recipe, or says nothing of a part.
    """
    made = json.loads((RunDir.open(folder).root / "environment.json").read_text())["recipe"]
    if made != recipe:
        raise DataError(f"{folder} is a run of {made}, not of {recipe}; its pace says nothing")
    done = taken(folder)
    for name, part in done.items():
        if _scale(name, price.parts[name], part.cost) is None:
            raise DataError(f"{folder} has finished no step of {name}; finish it: selfimprove resume {folder}")
    return expected(price, done)
