"""Diagnose a model before paying for any training, or a run between its rounds: `selfimprove diagnose`."""

from __future__ import annotations

import itertools
import json
import os
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfimprove import foreign
from selfimprove.errors import DataError, MissingError, RecipeError
from selfimprove.interfaces import GREEDY, Log
from selfimprove.loop import begin, steps
from selfimprove.loop.given import context_of, policy_of
from selfimprove.loop.history import Stored
from selfimprove.measures.diagnosis import (
    Diagnosis,
    compare,
    dynamics,
    marked,
    measure,
    verdicts,
)
from selfimprove.measures.diagnosis.findings import Findings
from selfimprove.recipe import compose
from selfimprove.recipe.cost import acquired
from selfimprove.recipe.schema import Recipe
from selfimprove.records import Checkpoint, Prompt, Rollout
from selfimprove.safety.model_files import check_folder
from selfimprove.store.run_folder import RunDir
from selfimprove.store.shape import METRIC, require


@dataclass(frozen=True, kw_only=True)
class _Subject:
    """The models to diagnose."""

    recipe: Recipe
    models: dict[str, Checkpoint]
    """Oldest first."""
    accuracies: tuple[float, ...] = ()
    """Accuracy of the start and of each round's candidate, as the run measured it."""


def diagnose(target: str, overrides: Sequence[str], samples: int, problems: int, log: Log) -> Findings:
    """Sample the selection problems of a task and measure what a loop can gain; the other splits stay unread.

    Args:
        target: a recipe, to diagnose its start model and reward; a model folder, with the quickstart's task unless an
            override swaps it; or a run folder, to diagnose its start and the models that it trained from last.
        samples: completions per problem.
        problems: most problems to use; a finite task may have fewer.

    Raises:
        RecipeError: there would be too few samples or problems.
        MissingError: there is no recipe or folder of that name, or the run has no finished round.
        DataError: the folder is not a model, or the task has fewer than two selection problems that can be marked.
    """
    if samples < 4:
        raise RecipeError(
            f"--samples is {samples}; a diagnosis needs at least 4 completions of each problem, better 32"
        )
    if problems < 2:
        raise RecipeError(f"--problems is {problems}; a standard error needs at least 2 problems, better 100")
    with tempfile.TemporaryDirectory(prefix="selfimprove-") as scratch:
        subject = _subject(target, overrides, Path(scratch), log)
        steps.threads(subject.recipe)
        task = subject.recipe.the("task")
        asked = task.problems("selection", problems, subject.recipe.seed)
        try:
            models = {
                name: _sampled(subject.recipe, checkpoint, asked, samples, Path(scratch), log)
                for name, checkpoint in subject.models.items()
            }
        finally:
            subject.recipe.the("engine").close()
    measured = list(models.values())
    first = measured[0] if len(measured) > 1 else None
    fit = dynamics(subject.accuracies, 0.0, 1.0) if len(subject.accuracies) >= 4 else None
    [name] = subject.recipe.task
    return Findings(
        target=target,
        task=name,
        problems=measured[-1].problems,
        samples=samples,
        seed=subject.recipe.seed,
        models=models,
        verdicts=verdicts(measured[-1], first, measured[-2] if first else None, fit),
        change=compare(measured[-1], first) if first else None,
        fit=fit,
    )


def _subject(target: str, overrides: Sequence[str], scratch: Path, log: Log) -> _Subject:
    folder = Path(target)
    if not folder.is_dir():
        stored = begin.started(target, overrides, scratch / "run", log)
        return _Subject(recipe=stored.recipe, models={"model": stored.checkpoint(0)})
    if (folder / "recipe.yaml").is_file():
        return _run(folder, overrides)
    if (folder / "champion").exists():
        folder = (folder / "champion").resolve()
    check_folder(folder, thorough=True)
    recipe, _ = compose.load("quickstart", ["reward=[]", *overrides])
    return _Subject(recipe=recipe, models={"model": Checkpoint(path=str(folder.resolve()))})


def _run(folder: Path, overrides: Sequence[str]) -> _Subject:
    """The start, the previous and the current model of a run, each once."""
    stored = Stored(RunDir.open(folder))
    if not os.path.lexists(folder / "metrics.jsonl"):
        raise MissingError(f"{folder} has no finished round yet. Finish one with: selfimprove resume {folder}")
    lines = [_line(line, folder) for line in foreign.content(folder / "metrics.jsonl").splitlines()]
    now = stored.standing(len(lines)).incumbent
    before = stored.standing(now).incumbent if now else 0
    found = [line.get("candidate/accuracy" if line["round"] else "champion/accuracy") for line in lines]
    recipe, _ = compose.load(folder / "recipe.yaml", overrides)
    return _Subject(
        recipe=recipe,
        models={
            f"round {number}" if number else "start": stored.checkpoint(number) for number in sorted({0, before, now})
        },
        accuracies=tuple(metric["value"] for metric in found if metric),
    )


def _line(text: bytes, folder: Path) -> dict[str, Any]:
    """A line of metrics.jsonl."""
    found: Any = None
    with suppress(ValueError, RecursionError):
        found = json.loads(text)
    shape = {"round": int, **dict.fromkeys(("candidate/accuracy?", "champion/accuracy?"), METRIC)}
    require(found, shape, folder / "metrics.jsonl", f"Write it again: selfimprove resume {folder}")
    return found


def _sampled(
    recipe: Recipe, checkpoint: Checkpoint, asked: Sequence[Prompt], samples: int, scratch: Path, log: Log
) -> Diagnosis:
    """Draw, reward and mark completions of one model; every model gets the same seed."""
    task = recipe.the("task")
    policy = policy_of(recipe, checkpoint, recipe.seed, log)
    given = context_of(
        recipe,
        policy,
        checkpoint,
        number=1,
        rounds=recipe.rounds,
        seed=recipe.seed,
        train_seed=lambda number: number,
        selection_seed=recipe.seed,
        folder=scratch,
        previous=None,
        log=log,
    )
    drawn, size = policy.sample(asked, samples), _group_size(recipe, samples)
    scored: list[list[Rollout]] = [[] for _ in asked]
    for place in range(0, samples, size):
        part = iter(given.reward([rollout for group in drawn for rollout in group[place : place + size]]))
        for group in scored:
            group.extend(itertools.islice(part, min(size, samples - place)))
    groups, keys = marked(scored, lambda r: task.verify(r.prompt, r.text), lambda r: task.answer_of(r.text))
    if len(keys) < 2:
        raise DataError(
            f"the task has {len(keys)} selection problems that can be marked, and a diagnosis needs at least 2; "
            "a finite task needs a few hundred problems in all"
        )
    known = [prompt for prompt in asked if prompt.key in set(keys)]
    greedy = [(task.verify(r.prompt, r.text) or 0.0) > 0.5 for [r] in policy.sample(known, 1, GREEDY)]
    return measure(groups, greedy, keys)


def _group_size(recipe: Recipe, samples: int) -> int:
    """Completions per problem that a run rewards together; 8 votes agree by chance more often than 32."""
    size = acquired(recipe).group
    return min(size, samples) if size > 1 else samples
