"""The end of a run: the verdict first, each fact once, and what to try where nothing was gained."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from selfimprove.report import ending, printing, reasons

METRIC = {"low": 0.0, "high": 1.0, "n": 9}


@pytest.fixture(autouse=True)
def no_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines are as wide as where nobody says how wide they are."""
    monkeypatch.delenv("COLUMNS", raising=False)


def summary_of(gain: bool = True, **loop: Any) -> dict[str, Any]:
    sealed = {"n": 1000, "start": 0.515, "champion": 0.846 if gain else 0.515, "champion_round": 5 * gain}
    sealed |= {"delta": 0.331 * gain, "ci": [0.3, 0.362] if gain else [0.0, 0.0], "p": 1e-9 if gain else 1.0}
    votes = {"value": 0.305, "low": 0.237, "high": 0.373, "n": 200}
    controls = {"samples": 16, "problems": 200, "votes": {**METRIC, "value": 0.535}, "over_votes": votes}
    numbers = {"b": 1, "c": 9, "delta": -0.1, "detectable": 0.04, "n": 500}
    line = {"round": 1, "decision": {"verdict": "accept" if gain else "reject", "reason": "", "statistics": numbers}}
    line |= {"alerts": [], "selection/kept": 100, "selection/label_precision": 1.0, "seconds": {}}
    line |= {"acquisition/drawn_tokens": 300_000, "evaluation/drawn_tokens": 200_000, "optimization/steps": 40}
    line |= {"train/steps": 40, "champion/accuracy": {**METRIC, "value": 0.5}}
    first = {"round": 0, "seconds": {"model": 3.0}, "train/steps": 600, "champion/accuracy": line["champion/accuracy"]}
    counts = {"certified": int(gain), "candidates": 1, "alpha": 0.05, "alpha_spent": 0.05 * gain, "alerts": []}
    return {
        "recipe": "quickstart",
        "seed": 0,
        "rounds": 1,
        "seconds": 54.0,
        "verdict": "as before",
        "stopped": "",
        "sealed": {**sealed, "controls": {**controls, "champion": {**METRIC, "value": 0.84}}},
        "metrics": {
            "start": {"accuracy": {**METRIC, "value": 0.5}, "ood/longer": {**METRIC, "value": 0.11, "low": 0.08}},
            "champion": {"accuracy": {**METRIC, "value": 0.8}, "ood/longer": {"value": 0.02, "low": 0, "high": 0.05}},
        },
        "loop": {**counts, **loop},
        "per_round": [first, line],
    }


def printed(summary: dict[str, Any], folder: Path, columns: int = 100) -> list[str]:
    console = Console(file=io.StringIO(), width=columns)
    printing.end(console, summary, folder)
    said = console.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]
    assert said.isascii()
    return said.splitlines()


def test_a_gain_is_said_first_with_what_could_make_it_wrong_and_what_it_took(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    root = Path("runs/a")
    root.mkdir(parents=True)
    (root / "environment.json").write_text(
        json.dumps({"settings": {"seed": 0, "task": {}, "engine": {}, "alarm": {"a": {}, "b": {}}}})
    )
    exam = root / "round_001" / "sealed"
    exam.mkdir(parents=True)
    (exam / "step.json").write_text(json.dumps({"counts": {"drawn_tokens": 20_000}}))
    said = printed(summary_of(), root)
    assert said[:8] == [
        "GAIN  accuracy 0.515 -> 0.846   +33.1 points [+30.0, +36.2]   p < 1e-6   1000 sealed problems",
        "  equal compute  start with 16 votes 0.535, champion 0.840: +30.5 [+23.7, +37.3], 200 problems",
        "  elsewhere      ood/longer 0.11 -> 0.02; surely worse: ood/longer",
        "  alarms         none of 2 rang",
        "  labels         100 % of what it trained on was right",
        "  certificates   1 of 1 models; chance of any false one <= 0.05, 0.05 spent: docs/evaluation.md",
        "  cost           54 s, 0.52 million tokens drawn, 40 training steps",
        "  champion       runs/a/champion, the model of round 5",
    ]
    assert said[8] == "" and said[9].startswith("next  selfimprove samples runs/a") and len(said) == 12


def test_without_a_gain_the_start_stays_and_the_reason_is_named() -> None:
    said = printed(summary_of(gain=False), Path("runs/a"))
    assert said[0] == "NO GAIN  the start stays champion, accuracy 0.515 on 1000 sealed problems"
    labels = [line.split()[0] for line in said if line.startswith("  ")]
    assert labels[-3:] == ["champion", "why", "try"] and "sure" not in " ".join(said[:4])


def test_a_certified_champion_that_the_exam_does_not_confirm_is_no_gain() -> None:
    summary = summary_of(certified=1)
    summary["sealed"] |= {"ci": [-0.01, 0.3]}
    assert not ending.gained(summary)
    assert reasons.reasons(summary, {}, "runs/a")[1] == "selfimprove run quickstart sealed_problems=4000"


def rejected(verdict: str = "reject", precision: float = 1.0, veto: str = "", **numbers: Any) -> dict[str, Any]:
    summary = summary_of(gain=False)
    line = summary["per_round"][1]
    line["decision"] = {"verdict": verdict, "reason": "", "statistics": numbers}
    line |= {
        "selection/label_precision": precision,
        "alerts": [{"alarm": veto, "level": 2, "text": ""}] if veto else [],
    }
    return summary


AHEAD = {"delta": 0.02, "detectable": 0.06, "n": 100}


@pytest.mark.parametrize(
    ("summary", "why", "tried"),
    [
        ({**rejected(), "stopped": "selection kept none: nothing to train on"}, "selection kept nothing", "threshold"),
        (rejected("hold", **AHEAD), "ahead by 2.0 points; 100 problems show 6 or more", "gate_problems=900"),
        (rejected("accept", **AHEAD), "1 model was on trial", "selfimprove resume runs/a --add 3"),
        (rejected("rollback", 0.71, "forgetting"), "71 % of what it trained on was right; forgetting vetoed 1 of 1", "reward=verifier"),
        (rejected("rollback", veto="length"), "length vetoed 1 of 1 candidates", "shorter training"),
        (rejected(), "0 of 1 candidates scored above the champion", "selfimprove diagnose quickstart"),
    ],
    ids=["nothing kept", "too few problems", "on trial", "labels", "veto", "otherwise"],
)  # fmt: skip
def test_the_first_reason_that_fits_is_named(summary: dict[str, Any], why: str, tried: str) -> None:
    said = reasons.reasons(summary, {"reward": {"majority_vote": {}}}, "runs/a")
    assert why in said[0] and tried in said[1]


def test_a_summary_of_an_older_version_still_has_its_verdict(tmp_path: Path) -> None:
    sealed = {"n": 9, "start": 0.5, "champion": 0.5, "delta": 0.0, "ci": [0.0, 0.0], "champion_round": 0}
    said = printed({"recipe": "old", "seed": 0, "rounds": 0, "sealed": sealed}, tmp_path, 60)
    assert said[0].startswith("NO GAIN  the start stays champion, accuracy 0.500 on 9")
    assert max(len(line.replace(str(tmp_path), "")) for line in said) <= 100
