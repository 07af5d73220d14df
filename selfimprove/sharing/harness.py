"""Results of lm-eval that a user brings along, and what of them a leaderboard of the Hub takes.

The run's own exam never goes to a leaderboard: its sealed problems are a tenth of the task's data, and the rest of the
same data trained the model. A leaderboard gets what lm-eval measured on all questions of a registered benchmark.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfimprove import foreign
from selfimprove.errors import DataError

BENCHMARKS = {
    "gsm8k": ("openai/gsm8k", "gsm8k", ("exact_match,strict-match", "exact_match,flexible-extract")),
    "gpqa_diamond_zeroshot": ("Idavidrein/gpqa", "gpqa_diamond", ("acc_norm,none", "acc,none")),
}
"""lm-eval's task -> the data set on the Hub that keeps its leaderboard, the id of the task there, and the metrics that
count, the first that was measured. Registered benchmarks stand in https://huggingface.co/docs/hub/eval-results."""
LONGEST = 200
"""Most results that are taken."""


@dataclass(frozen=True, kw_only=True)
class Score:
    """A number of lm-eval."""

    task: str
    metric: str
    """With lm-eval's filter: `exact_match,strict-match`."""
    value: float
    error: float | None
    """Its standard error."""
    n: int | None
    """Questions asked."""
    whole: bool
    """Whether these were all of the task."""


def scores_of(path: Path) -> list[Score]:
    """The numbers in a results file of lm-eval.

    Raises:
        MissingError: there is no such file.
        DataError: it is not one.
    """
    found = foreign.json_in(path)
    try:
        counts = found.get("n-samples", {})
        made = [
            score
            for task, values in found["results"].items()
            for key in values
            if (score := _score(str(task), str(key), values, counts.get(task) or {})) is not None
        ]
    except (AttributeError, LookupError, TypeError) as error:
        raise DataError(f"{path} is no results file of lm-eval: {error!r}") from error
    return made[:LONGEST]


def _score(task: str, key: str, values: Mapping[str, Any], counted: Mapping[str, Any]) -> Score | None:
    metric, _, kind = key.partition(",")
    value = values[key]
    if not kind or metric.endswith("_stderr") or type(value) not in (int, float) or not math.isfinite(value):
        return None
    error, n = values.get(f"{metric}_stderr,{kind}"), counted.get("effective")
    return Score(
        task=task,
        metric=key,
        value=float(value),
        error=float(error) if type(error) is int or type(error) is float else None,
        n=n if type(n) is int else None,
        whole=type(n) is int and n == counted.get("original"),
    )


def leaderboards(scores: Sequence[Score], date: str, trained: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """The files of `.eval_results/` by name, in the form of huggingface_hub's `EvalResultEntry`; values in percent.

    Args:
        date: of the measurement, ISO 8601.
        trained: data sets whose test questions the model may have been trained on; they get no entry.
    """
    made: dict[str, list[dict[str, Any]]] = {}
    for task, (dataset, name, metrics) in BENCHMARKS.items():
        known = {score.metric: score for score in scores if score.task == task and score.whole}
        found = next((known[metric] for metric in metrics if metric in known), None)
        if found is None or dataset in trained:
            continue
        entry = {
            "dataset": {"id": dataset, "task_id": name},
            "value": round(100 * found.value, 2),
            "date": date,
            "notes": f"lm-eval, {task}, {found.metric}, n = {found.n}",
        }
        made[f"{name}.yaml"] = [entry]
    return made
