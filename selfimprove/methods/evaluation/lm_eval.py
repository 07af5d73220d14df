"""External benchmarks through lm-eval, beside the run's own problems.

Idea: a gain on the loop's own task may cost abilities elsewhere; lm-eval's tasks are the standard way to measure them.
Survey: benchmarks, section 6.
Paper: arXiv:2405.14782 (Lessons from the Trenches), Biderman et al., 2024: lm-eval.
Algorithm:
  1. Load the tasks by name, from lm-eval or from `include_path`.
  2. Keep the questions whose canonical text falls into the split of the exam, like the run's own problems, so that the
     sealed exam has no question of a gate. At most `limit` of them, the first ones.
  3. lm-eval queries the checkpoint and marks the answers; the metrics are `lm_eval/<task>/<metric>`.
Differs: lm-eval uses all questions of a test set; results on a tenth of them have wider intervals, which are reported.
  lm-eval runs the model itself, without the recipe's engine and refinement. No decision uses these results, because a
  set is finite and its gate questions repeat in every round.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from selfimprove.bounds import bounded
from selfimprove.errors import EngineError, RecipeError
from selfimprove.interfaces import REQUIRED, Evaluation, Policy
from selfimprove.measures.statistics import Z95
from selfimprove.needs import Needs
from selfimprove.problems.splits import folded, split_of
from selfimprove.records import Metric, Report
from selfimprove.registry import register
from selfimprove.rounds import Exam

TRUSTED = "SELFIMPROVE_TASK_FOLDERS"
"""The environment variable with folders of task files that may run: lm-eval runs their functions and templates."""


@register("lm_eval", paper="2405.14782")
@dataclass
class LmEval(Evaluation):
    tasks: list[str] = REQUIRED
    """lm-eval's names of the tasks, or those in `include_path`."""
    include_path: str | None = None
    """A folder with your own task files. They can run code, so SELFIMPROVE_TASK_FOLDERS must also name it."""
    num_fewshot: int | None = None
    """Worked examples before each question; null uses the task's number."""
    limit: int | None = 200
    """Most questions per task; null uses all of the split."""
    batch_size: int = bounded(16, 1)
    """lm-eval's batch size."""
    apply_chat_template: bool = False
    """Apply the model's chat template to the questions."""
    device: str = "auto"
    """`auto` uses a GPU if there is one; or `cpu`, `cuda`, `cuda:1`."""

    def __post_init__(self) -> None:
        if self.tasks == []:
            raise RecipeError("evaluation.lm_eval.tasks is empty; name at least one, for example [arc_easy]")
        if self.include_path is not None:
            self.include_path = str(Path(self.include_path).resolve())

    def needs(self) -> Needs:
        return Needs(packages=("lm_eval",))

    def evaluate(self, policy: Policy, exam: Exam) -> Report:
        trusted = [str(Path(part).resolve()) for part in os.environ.get(TRUSTED, "").split(os.pathsep) if part]
        if self.include_path is not None and self.include_path not in trusted:
            raise RecipeError(
                f"evaluation.lm_eval.include_path: task files in {self.include_path} can run code, and a recipe may "
                f"come from a stranger. Where you trust them: {TRUSTED}={self.include_path}"
            )
        try:
            import torch

            names = ("lm_eval.evaluator", "lm_eval.models.huggingface", "lm_eval.tasks")
            evaluator, huggingface, tasks = map(import_module, names)
        except ImportError as error:
            raise EngineError(f"evaluation lm_eval needs lm-eval ({error}): pip install 'selfimprove[eval]'") from error
        if not exam.problems:
            return Report(metrics={})
        manager = tasks.TaskManager(include_path=self.include_path)
        known = set(manager.all_tasks)
        for name in self.tasks:
            if name not in known:
                raise RecipeError(f"evaluation.lm_eval.tasks: lm-eval has no task {name!r}; see lm_eval ls tasks")
        split = split_of(exam.problems[0].key)
        asked = {
            name: in_split((task.doc_to_text(doc) for doc in task.eval_docs), split)[: self.limit]
            for name, task in _leaves(tasks.get_task_dict(list(self.tasks), manager))
        }
        empty = [name for name, places in asked.items() if not places]
        if empty:
            raise RecipeError(f"evaluation.lm_eval: {empty[0]} has no question in the {split} split; it is too small")
        device = self.device if self.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
        model = huggingface.HFLM(
            pretrained=policy.checkpoint.path, device=device, batch_size=self.batch_size, dtype="auto"
        )
        done = evaluator.simple_evaluate(
            model=model,
            tasks=list(self.tasks),
            task_manager=manager,
            samples=asked,
            num_fewshot=self.num_fewshot,
            apply_chat_template=self.apply_chat_template,
            bootstrap_iters=1000,
            log_samples=False,
        )
        found = (done or {}).get("results", {})
        return Report(metrics=metrics_of(found, {name: len(places) for name, places in asked.items()}))


def in_split(questions: Iterable[Any], split: str) -> list[int]:
    """The places of the questions that belong to a split."""
    return [place for place, text in enumerate(questions) if split_of(folded(str(text))) == split]


def metrics_of(results: dict[str, dict[str, Any]], asked: dict[str, int]) -> dict[str, Metric]:
    """lm-eval's `results` as metrics with 95 % intervals; without a standard error the interval is the value."""
    found: dict[str, Metric] = {}
    for name, values in results.items():
        for key, value in values.items():
            metric, _, kind = key.partition(",")
            if name not in asked or metric.endswith("_stderr") or not isinstance(value, int | float):
                continue
            if not kind:
                continue  # the task's name, number of questions and the like
            error = values.get(f"{metric}_stderr,{kind}")
            half = Z95 * error if isinstance(error, int | float) else 0.0
            label = f"lm_eval/{name}/{metric}" if kind == "none" else f"lm_eval/{name}/{metric},{kind}"
            found[label] = Metric(value=float(value), low=value - half, high=value + half, n=asked[name])
    return found


def _leaves(tasks: dict[Any, Any]) -> Iterator[tuple[str, Any]]:
    """The tasks of lm-eval's tree of groups, by name."""
    for name, task in tasks.items():
        if isinstance(task, dict):
            yield from _leaves(task)
        else:
            yield str(name), task
