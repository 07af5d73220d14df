"""What the steps of a run took: completions, scores and training steps as they noted them, and seconds."""

from __future__ import annotations

import json
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
        names = {"completions": "completions", "tokens": "drawn_tokens", "scored": "scored", "steps": "steps"}
        cost = Cost(**{name: int(counts.get(key, 0)) for name, key in names.items()})
        parts[part] = Part(before.cost + cost, before.seconds + run.seconds(number, stage))
    if not any(part.cost.completions for part in parts.values()):
        raise DataError(f"no step in {folder} says what it drew; name a run that this version has made")
    return parts


def hours(price: Estimate, folder: Path, recipe: str) -> float:
    """Hours that an estimate comes to, each part at the pace of a run of the same recipe.

    Raises:
        UserError: the run is of another recipe, or says nothing of a part.
    """
    made, seconds = json.loads((RunDir.open(folder).root / "environment.json").read_text())["recipe"], 0.0
    if made != recipe:
        raise DataError(f"{folder} is a run of {made}, not of {recipe}; its pace says nothing")
    for name, part in taken(folder).items():
        planned = price.parts[name]
        pairs = [(planned.steps, part.cost.steps), (planned.completions, part.cost.completions)]
        pairs = pairs if name == "training" else pairs[1:]
        scale = next((wanted / done for wanted, done in pairs if done), None)
        if scale is None and any(wanted for wanted, _ in pairs):
            raise DataError(f"{folder} has finished no step of {name}; finish it: selfimprove resume {folder}")
        seconds += part.seconds * (scale or 1.0)
    return seconds / 3600
