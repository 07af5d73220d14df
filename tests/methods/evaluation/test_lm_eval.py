"""External benchmarks: only the questions of the exam's split, lm-eval's figures with their intervals."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from selfimprove.errors import EngineError, RecipeError
from selfimprove.methods.evaluation.lm_eval import LmEval, in_split, metrics_of
from selfimprove.problems.splits import folded, split_of
from selfimprove.records import Checkpoint, Metric
from selfimprove.rounds import Exam

QUESTIONS = [f"What is {a} + {b}?" for a in range(12) for b in range(12)]


def test_every_question_is_in_one_split_however_it_is_spaced() -> None:
    places = {split: in_split(QUESTIONS, split) for split in ("train", "selection", "gate", "audit", "sealed")}
    assert sorted(place for found in places.values() for place in found) == list(range(len(QUESTIONS)))
    assert places["sealed"] and all(split_of(folded(QUESTIONS[place])) == "sealed" for place in places["sealed"])
    assert in_split([f"  {question.upper()}\n" for question in QUESTIONS], "gate") == places["gate"]


def test_results_become_metrics_with_the_interval_of_their_standard_error() -> None:
    results = {
        "arc": {"alias": "arc", "sample_len": 50, "acc,none": 0.5, "acc_stderr,none": 0.05, "f1,none": 0.25},
        "sums": {"exact_match,answer": 1.0, "exact_match_stderr,answer": "N/A"},
        "group": {"acc,none": 0.4},
    }
    found = metrics_of(results, {"arc": 50, "sums": 20})
    assert set(found) == {"lm_eval/arc/acc", "lm_eval/arc/f1", "lm_eval/sums/exact_match,answer"}
    assert found["lm_eval/arc/acc"].low == pytest.approx(0.5 - 1.96 * 0.05, abs=1e-4)
    assert found["lm_eval/arc/f1"] == Metric(value=0.25, low=0.25, high=0.25, n=50)
    assert found["lm_eval/sums/exact_match,answer"].n == 20


def test_without_tasks_or_lm_eval_one_line_says_so(
    make_policy: Callable[..., Any], make_prompt: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def verify(*_: Any) -> float:
        return 1.0

    exam = Exam(problems=[make_prompt("1+1")], verify=verify)
    with pytest.raises(RecipeError, match="tasks is empty"):
        LmEval(tasks=[])
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    monkeypatch.setitem(sys.modules, "lm_eval.evaluator", None)
    with pytest.raises(EngineError, match="needs lm-eval"):
        LmEval(tasks=["arc_easy"]).evaluate(make_policy(), exam)


@pytest.mark.slow
def test_lm_eval_asks_the_questions_of_the_split(
    small_llama: ModuleType,
    make_policy: Callable[..., Any],
    make_prompt: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("lm_eval")
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("SELFIMPROVE_TASK_FOLDERS", f"/elsewhere:{tmp_path}")
    rows = [{"prompt": question, "answer": "<"} for question in QUESTIONS]
    (tmp_path / "sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "sums.yaml").write_text(
        "task: sums_here\ndataset_path: json\n"
        f"dataset_kwargs: {{data_files: {{test: {tmp_path / 'sums.jsonl'}}}}}\n"
        'test_split: test\noutput_type: multiple_choice\ndoc_to_text: "{{prompt}}"\n'
        'doc_to_choice: ["a", "b"]\ndoc_to_target: 0\n'
        "metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]\n"
    )
    policy = make_policy(checkpoint=Checkpoint(path=str(small_llama.build(tmp_path / "model"))))
    prompt = next(made for a in range(9) for b in range(9) if split_of((made := make_prompt(f"{a}+{b}")).key) == "gate")
    exam = Exam(problems=[prompt], verify=lambda *_: 1.0)
    method = LmEval(tasks=["sums_here"], include_path=str(tmp_path), batch_size=8, device="cpu")
    metric = method.evaluate(policy, exam).metrics["lm_eval/sums_here/acc"]
    assert metric.n == len(in_split(QUESTIONS, "gate")) and 0 <= metric.value <= 1 and metric.low <= metric.high
    assert method.evaluate(policy, exam).metrics["lm_eval/sums_here/acc"] == metric
    with pytest.raises(RecipeError, match="lm-eval has no task 'sums_there'"):
        LmEval(tasks=["sums_there"], include_path=str(tmp_path)).evaluate(policy, exam)


def test_task_files_run_only_from_a_folder_that_the_environment_names(
    tmp_path: Path, make_policy: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """lm-eval runs the functions and the templates of a task file, and a recipe may come from a stranger."""
    (tmp_path / "evil.yaml").write_text("task: evil\ndoc_to_text: !function evil.run\n")
    (tmp_path / "evil.py").write_text("open('canary', 'w')")
    monkeypatch.chdir(tmp_path)
    for named in ("", str(tmp_path.parent), str(tmp_path / "evil.yaml")):
        monkeypatch.setenv("SELFIMPROVE_TASK_FOLDERS", named)
        with pytest.raises(RecipeError, match="can run code") as caught:
            LmEval(tasks=["evil"], include_path=".").evaluate(make_policy(), Exam(problems=[], verify=lambda *_: 1.0))
        assert f"SELFIMPROVE_TASK_FOLDERS={tmp_path}" in str(caught.value)
    assert not (tmp_path / "canary").exists()
