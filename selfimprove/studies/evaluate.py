"""Score a checkpoint outside a run, and write the result in the layout of lm-eval: `selfimprove eval`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from selfimprove import foreign, registry, training
from selfimprove.errors import DataError, MissingError, StorageError
from selfimprove.interfaces import Log, Remote
from selfimprove.loop.given import policy_of
from selfimprove.loop.history import Stored
from selfimprove.loop.target import last_round
from selfimprove.recipe import compose
from selfimprove.recipe.schema import Recipe, Settings
from selfimprove.records import Checkpoint
from selfimprove.report.lm_eval import SPLIT, Layout, write_samples
from selfimprove.rounds import Exam
from selfimprove.safety.model_files import check_folder
from selfimprove.store.run_folder import RunDir, storage
from selfimprove.store.seal import MANIFEST, damage


def examine(
    folder: Path,
    task: str | None,
    refinement: str,
    overrides: Sequence[str],
    log: Log,
    start: bool = False,
    out: Path | None = None,
) -> dict[str, Any]:
    """Score a checkpoint on the selection problems of a task.

    Args:
        folder: a `save_pretrained` folder, or a run folder, whose champion is scored, by a refinement of the run with
            what this learned for it.
        task: the name of a task, or a recipe whose task, engine and evaluations to use. None means the run's own
            recipe, or chain_sums for a model folder.
        start: score the model that the run started from.
        out: folder for results and samples in lm-eval's format.

    Raises:
        MissingError: the folder does not exist.
        DataError: it is not a model, or the task has no selection problems.
        StorageError: `out` cannot be a folder.
    """
    model = model_of(folder, start)
    recipe, settings = _recipe(folder, task, refinement, overrides)
    if out is not None:
        _make(out)  # first, so that a mistake in the name costs nothing
    exam = _exam(recipe)
    began, weights = time.time(), Checkpoint(path=str(model.resolve()))
    with TemporaryDirectory(prefix="selfimprove-") as scratch:
        copies = None if isinstance(recipe.the("engine"), Remote) else training.Copies(Path(scratch) / "copies", log)
        policy = policy_of(recipe, weights, recipe.seed, log, _learned(folder, start), copies=copies)
        reports = [evaluation.evaluate(policy.held(evaluation), exam) for evaluation in recipe.evaluation.values()]
    if out is not None:
        layout = Layout(str(model), settings, reports, policy.answer_of)
        results = layout.results(began, time.time() - began, len(exam.problems))
        write_samples(out, layout.task, results, layout.samples)
    metrics = {name: asdict(metric) for report in reports for name, metric in report.metrics.items() if metric.n}
    [name] = recipe.task
    return {"checkpoint": str(model), "task": name, "refinement": refinement, "split": SPLIT, "metrics": metrics}


def model_of(folder: Path, start: bool) -> Path:
    """The checkpoint in a model folder, or the champion or start of a run folder."""
    if not folder.exists():
        raise MissingError(f"the folder {folder} does not exist")
    if start:
        run = RunDir.open(folder)
        if not run.step(0, "model").exists():
            raise MissingError(f"{folder} has no model yet; make it: selfimprove resume {folder}")
        folder = Path(Stored(run).checkpoint(0).path)
    elif (folder / "champion").is_dir() or (folder / "environment.json").is_file():
        run, folder = folder, _champion(folder)
        for step in (folder, folder.parent):
            if (step / MANIFEST).exists() and (wrong := damage(step)):
                raise DataError(f"{step} is damaged: {wrong}. Redo it: selfimprove resume {run}")
    check_folder(folder, thorough=True)
    return folder


def _learned(folder: Path, start: bool) -> dict[str, dict[str, Any]]:
    """What the refinements of a run learned for its champion or its start, by name; nothing for a model folder."""
    if not (folder / "environment.json").is_file():
        return {}
    stored = Stored(RunDir.open(folder))
    return stored.learned(0 if start else stored.standing(last_round(folder, "gate") + 1).champion)


def _champion(run: Path) -> Path:
    """The champion of a run; of one that was copied without its link, as the finished rounds have it."""
    if (run / "champion").is_dir():
        return (run / "champion").resolve()
    stored = Stored(RunDir.open(run))
    if not stored.folder.step(0, "model").exists():
        raise MissingError(f"{run} has no model yet; make it: selfimprove resume {run}")
    return Path(stored.checkpoint(stored.standing(last_round(run, "gate") + 1).champion).path).resolve()


def _recipe(folder: Path, task: str | None, refinement: str, overrides: Sequence[str]) -> tuple[Recipe, Settings]:
    own = folder / "recipe.yaml"
    foreign.check(own)
    name = task or (str(own) if own.is_file() else "chain_sums")
    changes = [f"refinement={refinement}", *overrides]
    named = name in registry.names("task")
    return compose.load("quickstart", [f"task={name}", *changes]) if named else compose.load(name, changes)


def _exam(recipe: Recipe) -> Exam:
    task = recipe.the("task")
    problems = task.problems(SPLIT, recipe.sealed_problems, recipe.seed)
    if not problems:
        raise DataError(f"the task has no {SPLIT} problems; a finite task needs a few hundred problems in all")
    probes = task.probes().items() if recipe.probe_problems else ()
    return Exam(
        problems=problems,
        verify=task.verify,
        probes={name: probe.problems(SPLIT, recipe.probe_problems, recipe.seed) for name, probe in probes},
    )


def _make(out: Path) -> None:
    with storage():
        try:
            out.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise StorageError(f"{out} cannot be a folder for results: a file is in the way; choose --out") from error
