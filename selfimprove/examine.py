"""Score a checkpoint outside a run, and write the result in the layout of lm-eval: `selfimprove eval`."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from selfimprove import recipe as recipes
from selfimprove import registry, statistics
from selfimprove.errors import DataError, MissingError, StorageError
from selfimprove.interfaces import Exam, Log, Policy
from selfimprove.model_files import check_folder
from selfimprove.recipe import Recipe, Settings
from selfimprove.records import Checkpoint, Metric, Report, Rollout
from selfimprove.rundir import MANIFEST, RunDir, fault, storage, write_json, write_text
from selfimprove.stored import Stored
from selfimprove.text import plain

SPLIT = "selection"
"""What is looked at here; gate, audit and sealed problems stay unread."""
LOWER_IS_BETTER = ("truncated",)
"""Metrics of evaluations that a better model has less of."""


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
        folder: a `save_pretrained` folder, or a run folder, which stands for its champion.
        task: the name of a task, or a recipe whose task, engine and evaluations to use; None takes the run's own
            recipe, and of a model folder chain_sums.
        start: score the model that the run started from.
        out: where to write results and samples as lm-eval does.

    Raises:
        MissingError: there is no such folder.
        DataError: it is not a model, or the task has no selection problems.
        StorageError: `out` cannot be a folder.
    """
    model = _model(folder, start)
    recipe, settings = _recipe(folder, task, refinement, overrides)
    if out is not None:
        _make(out)  # before the work: a mistake in the name should cost nothing
    exam = _exam(recipe)
    policy = Policy(
        checkpoint=Checkpoint(path=str(model.resolve())),
        engine=recipe.the("engine"),
        refinement=recipe.the("refinement"),
        state={},
        answer_of=recipe.the("task").answer_of,
        seed=recipe.seed,
        log=log,
    )
    began = time.time()
    reports = [evaluation.evaluate(policy, exam) for evaluation in recipe.evaluation.values()]
    if out is not None:
        layout = _Layout(str(model), settings, reports, policy.answer_of)
        results = layout.results(began, time.time() - began, len(exam.problems))
        _write(out, layout.task, results, layout.samples)
    metrics = {name: asdict(metric) for report in reports for name, metric in report.metrics.items() if metric.n}
    [name] = recipe.task
    return {"checkpoint": str(model), "task": name, "refinement": refinement, "split": SPLIT, "metrics": metrics}


def _model(folder: Path, start: bool) -> Path:
    """The weights that a folder stands for."""
    if not folder.exists():
        raise MissingError(f"there is no folder {folder}")
    if start:
        run = RunDir.open(folder)
        if not run.step(0, "model").exists():
            raise MissingError(f"{folder} has no model yet; make it: selfimprove resume {folder}")
        folder = Path(Stored(run).checkpoint(0).path)
    elif (folder / "champion").exists():
        run, folder = folder, (folder / "champion").resolve()
        for step in (folder, folder.parent):
            if (step / MANIFEST).exists() and (wrong := fault(step)):
                raise DataError(f"{step} is damaged: {wrong}. Redo it: selfimprove resume {run}")
    check_folder(folder, thorough=True)
    return folder


def _recipe(folder: Path, task: str | None, refinement: str, overrides: Sequence[str]) -> tuple[Recipe, Settings]:
    own = folder / "recipe.yaml"
    name = task or (str(own) if own.is_file() else "chain_sums")
    changes = [f"refinement={refinement}", *overrides]
    named = name in registry.names("task")
    return recipes.load("quickstart", [f"task={name}", *changes]) if named else recipes.load(name, changes)


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


class _Layout:
    """Reports as lm-eval 0.4 writes them: what reads its files reads these."""

    def __init__(
        self, model: str, settings: Settings, reports: Sequence[Report], answer_of: Callable[[str], str | None]
    ) -> None:
        self.model, self.settings = model, settings
        [self.task] = settings["task"]
        self.metrics = {name: metric for report in reports for name, metric in report.metrics.items() if metric.n}
        scored = next((report for report in reports if report.scores), reports[0])
        self.main = next(iter(scored.metrics))
        """The metric that the scores belong to: the first of their report."""
        self.scores = scored.scores
        self.values: dict[str, list[float]] = {
            self.main: [*scored.scores.values()],
            "truncated": [float(rollout.truncated) for rollout in scored.rollouts],
            **{name: [*part.values()] for report in reports for name, part in report.parts.items()},
        }
        """What each metric is the mean of, where an evaluation keeps it."""
        self.samples = [self._sample(number, rollout, answer_of) for number, rollout in enumerate(scored.rollouts)]

    def results(self, began: float, seconds: float, asked: int) -> dict[str, Any]:
        """results_<date>.json."""
        metrics: dict[str, Any] = {}
        for name, metric in self.metrics.items():
            metrics[f"{name},none"] = metric.value
            metrics[f"{name}_stderr,none"] = _error(metric, self.values.get(name, ()))
        directions = {name: name not in LOWER_IS_BETTER for name in self.metrics}
        n = len(self.scores)
        hashes = "".join(s["doc_hash"] + s["prompt_hash"] + s["target_hash"] for s in self.samples)
        return {
            "results": {self.task: {"name": self.task, "alias": self.task, "sample_len": n, **metrics}},
            "group_subtasks": {self.task: []},
            "configs": {self.task: self._config(directions)},
            "versions": {self.task: metadata.version("selfimprove")},
            "n-shot": {self.task: 0},
            "higher_is_better": {self.task: directions},
            "n-samples": {self.task: {"original": asked, "effective": n}},
            "config": self._execution(),
            "date": began,
            "transformers_version": metadata.version("transformers"),
            "model_source": "selfimprove",
            "model_name": self.model,
            "model_name_sanitized": re.sub(r"[\"<>:/|\\?*\[\]]+", "__", self.model),
            "task_hashes": {self.task: _sha256(hashes)},
            "total_evaluation_time_seconds": str(seconds),
        }

    def _config(self, directions: dict[str, bool]) -> dict[str, Any]:
        metrics = [{"metric": m, "aggregation": "mean", "higher_is_better": up} for m, up in directions.items()]
        return {
            "task": self.task,
            "test_split": SPLIT,
            "output_type": "generate_until",
            "metric_list": metrics,
            "generation_kwargs": self.settings["refinement"],
            "num_fewshot": 0,
            "repeats": 1,
            "metadata": {
                "version": metadata.version("selfimprove"),
                **{name: self.settings[name] for name in ("seed", "task", "evaluation")},
            },
        }

    def _execution(self) -> dict[str, Any]:
        [(engine, options)] = (item for item in self.settings["engine"].items() if not item[1]["roles"])
        return {
            "model": engine,
            "model_args": {"pretrained": self.model, **options},
            "batch_size": options.get("batch_size"),
            "batch_sizes": [],
            "device": options.get("device"),
            "use_cache": None,
            "limit": None,
            "bootstrap_iters": 0,
            "gen_kwargs": self.settings["refinement"],
            **{f"{of}_seed": self.settings["seed"] for of in ("random", "numpy", "torch", "fewshot")},
        }

    def _sample(self, number: int, rollout: Rollout, answer_of: Callable[[str], str | None]) -> dict[str, Any]:
        """A line of samples_<task>_<date>.jsonl; its hashes are those that lm-eval gives the same problem."""
        prompt, target = plain(rollout.prompt.prompt), str(rollout.prompt.answer)
        doc = {"prompt": prompt, "answer": rollout.prompt.answer}
        answer = answer_of(rollout.text)
        return {
            "doc_id": number,
            "doc": doc,
            "target": target,
            "arguments": {"gen_args_0": {"arg_0": prompt, "arg_1": self.settings["refinement"]}},
            "resps": [[rollout.text]],
            "filtered_resps": ["[invalid]" if answer is None else answer],
            "filter": "none",
            "metrics": [self.main],
            "doc_hash": _sha256(json.dumps(doc, indent=2, ensure_ascii=False)),
            "prompt_hash": _sha256(prompt),
            "target_hash": _sha256(target),
            self.main: self.scores.get(rollout.prompt.key),
        }


def _error(metric: Metric, values: Sequence[float]) -> float | str:
    """The standard error by the central limit theorem; of a metric without values, from its interval."""
    if metric.n < 2:
        return "N/A"  # as lm-eval writes it
    measured = statistics.mean(values) if values else metric
    return (measured.high - measured.low) / 2 / statistics.Z95


def _write(out: Path, task: str, results: dict[str, Any], samples: Iterable[dict[str, Any]]) -> None:
    date = datetime.fromtimestamp(results["date"]).isoformat().replace(":", "-")
    lines = "".join(json.dumps(sample, ensure_ascii=False) + "\n" for sample in samples)
    write_text(out / f"samples_{task}_{date}.jsonl", lines)
    write_json(out / f"results_{date}.json", results)


def _make(out: Path) -> None:
    with storage():
        try:
            out.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise StorageError(f"{out} cannot be a folder for results: a file is in the way; choose --out") from error


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
