"""Score a checkpoint outside a run: `selfimprove eval`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from selfimprove import recipe as recipes
from selfimprove import registry
from selfimprove.errors import MissingError
from selfimprove.interfaces import Log, Policy
from selfimprove.model.pretrained import check_folder
from selfimprove.records import Checkpoint


def examine(folder: Path, task: str, refinement: str, overrides: Sequence[str], log: Log) -> dict[str, Any]:
    """Score a checkpoint on the selection problems of a task, so that gate and sealed problems stay unread.

    Args:
        folder: a `save_pretrained` folder, or a run folder, which stands for its champion.
        task: the name of a task, or a recipe whose task, engine and evaluations to use.

    Raises:
        MissingError: there is no such folder.
        DataError: it is not a model.
    """
    if not folder.exists():
        raise MissingError(f"there is no folder {folder}")
    if (folder / "champion").exists():
        folder = (folder / "champion").resolve()
    check_folder(folder)
    registry.discover()
    if task in registry.names("task"):
        recipe, _ = recipes.load("quickstart", [f"task={task}", f"refinement={refinement}", *overrides])
    else:
        recipe, _ = recipes.load(task, [f"refinement={refinement}", *overrides])
    problems = recipe.the("task").problems("selection", recipe.sealed_problems, recipe.seed)
    policy = Policy(
        checkpoint=Checkpoint(path=str(folder.resolve())),
        engine=recipe.the("engine"),
        refinement=recipe.the("refinement"),
        state={},
        answer_of=recipe.the("task").answer_of,
        seed=recipe.seed,
        log=log,
    )
    metrics: dict[str, Any] = {}
    for evaluation in recipe.evaluation.values():
        report = evaluation.evaluate(policy, problems, recipe.the("task").verify)
        metrics |= {name: asdict(metric) for name, metric in report.metrics.items()}
    [name] = recipe.task
    return {"checkpoint": str(folder), "task": name, "refinement": refinement, "split": "selection", "metrics": metrics}
