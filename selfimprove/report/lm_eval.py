"""Results and samples in the layout of lm-eval."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from selfimprove.measures import statistics
from selfimprove.recipe.schema import Settings
from selfimprove.records import Metric, Report, Rollout
from selfimprove.store.seal import write_json, write_text
from selfimprove.text import plain

SPLIT = "selection"
"""The split that `eval` uses; gate, audit and sealed problems stay unread."""
LOWER_IS_BETTER = ("truncated",)
"""Metrics that are lower for a better model."""


class Layout:
    """Reports in the format of lm-eval 0.4, for programs that read its files."""

    def __init__(
        self, model: str, settings: Settings, reports: Sequence[Report], answer_of: Callable[[str], str | None]
    ) -> None:
        self.model, self.settings = model, settings
        [self.task] = settings["task"]
        self.metrics = {name: metric for report in reports for name, metric in report.metrics.items() if metric.n}
        scored = next((report for report in reports if report.scores), reports[0])
        self.main = next(iter(scored.metrics))
        """The metric whose scores are kept by problem: the first of the report."""
        self.scores = scored.scores
        self.values: dict[str, list[float]] = {
            self.main: [*scored.scores.values()],
            "truncated": [float(rollout.truncated) for rollout in scored.rollouts],
            **{name: [*part.values()] for report in reports for name, part in report.parts.items()},
        }
        """The values behind the mean of each metric, if the evaluation keeps them."""
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
    """The standard error by the central limit theorem, or from the interval if a metric has no values."""
    if metric.n < 2:
        return "N/A"  # as lm-eval writes it
    measured = statistics.mean(values) if values else metric
    return (measured.high - measured.low) / 2 / statistics.Z95


def write_samples(out: Path, task: str, results: dict[str, Any], samples: Iterable[dict[str, Any]]) -> None:
    """Write results and samples under the names that lm-eval gives its files."""
    date = datetime.fromtimestamp(results["date"]).isoformat().replace(":", "-")
    lines = "".join(json.dumps(sample, ensure_ascii=False) + "\n" for sample in samples)
    write_text(out / f"samples_{task}_{date}.jsonl", lines)
    write_json(out / f"results_{date}.json", results)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
