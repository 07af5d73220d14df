"""The three acts: what each must show, judged from what a run left, and the exit code of an act that breaks its word."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from selfimprove.cli import main
from selfimprove.problems.splits import split_of
from selfimprove.records import write_records
from selfimprove.studies import demo
from selfimprove.studies.demo import ACTS, Shown, WorkedAnswers


def summary_of(champion: int = 0, certified: int = 0, dropped: int = 0, alarm: str = "") -> dict[str, Any]:
    alerts = [{"round": 1, "alarm": alarm, "level": 2, "text": ""}] if alarm else []
    sealed = {"start": 0.5, "champion": 0.7, "delta": 0.2, "ci": [0.1, 0.3], "p": 1e-9, "champion_round": champion}
    decision = {"verdict": "rollback", "reason": "", "statistics": {}}
    line = {"round": 1, "decision": decision, "alerts": alerts, "selection/label_precision": 0.71}
    loop = {"certified": certified, "candidates": 2, "held_out_dropped": dropped, "alerts": alerts}
    return {"sealed": sealed, "loop": loop, "per_round": [{"round": 0}, line]}


def test_a_gain_must_be_certified_and_votes_must_not() -> None:
    gain, votes, _ = ACTS
    assert gain.judge(summary_of(1, 2), Path())[0] and not gain.judge(summary_of(), Path())[0]
    kept, seen = votes.judge(summary_of(alarm="forgetting"), Path())
    assert kept and seen == "71 % of its labels were right; forgetting: veto in round 1; the start stays champion"
    assert not votes.judge(summary_of(1, 1), Path())[0]


def test_the_foreign_answers_are_right_and_partly_to_exam_problems(make_context: Callable[..., Any]) -> None:
    made = WorkedAnswers().acquire([], make_context())
    assert len(made) == 400 and {split_of(one.prompt.key) for one in made} > {"train", "sealed"}  # pyright: ignore
    for one in made[:50]:
        digits = [int(digit) for digit in one.prompt.key.split("+")]  # pyright: ignore
        assert one.text.endswith(f"#{sum(digits) % 10}") and one.text.count("=") == len(digits) - 1  # pyright: ignore


def test_a_leak_is_caught_only_if_no_exam_problem_was_trained_on(tmp_path: Path, make_context: Callable) -> None:
    made, leak = WorkedAnswers().acquire([], make_context()), ACTS[2]
    clean = [one for one in made if split_of(one.prompt.key) == "train"]  # pyright: ignore
    folder = tmp_path / "round_001" / "selection"
    folder.mkdir(parents=True)
    write_records(folder / "output.jsonl", clean)
    told = summary_of(dropped=400 - len(clean), alarm="contamination")
    kept, seen = leak.judge(told, tmp_path)
    assert kept and "; 0 were trained on, the alarm rang" in seen
    assert not leak.judge(summary_of(alarm="contamination"), tmp_path)[0], "nothing was dropped"
    assert not leak.judge(summary_of(dropped=160), tmp_path)[0], "no alarm"
    write_records(folder / "output.jsonl", made)
    assert not leak.judge(told, tmp_path)[0]


@pytest.mark.parametrize(("kept", "code"), [(True, 0), (False, 3)])
def test_an_act_that_breaks_its_promise_is_exit_code_3(
    kept: bool, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = [Shown(act, kept or act.name != "votes", "seen", 1.0, Path("x")) for act in ACTS]
    monkeypatch.setattr(demo, "play", lambda *_: iter(shown))
    monkeypatch.setattr(sys, "argv", ["selfimprove", "demo"])
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    with pytest.raises(SystemExit) as left:
        main.main()
    said = capsys.readouterr()
    assert (left.value.code or 0) == code and said.out.count("act ") == 3
    assert ("all three ended as promised" in said.out) == kept
    assert ("act 2, majority votes are refused: not as promised" in said.err) != kept


@pytest.mark.slow
def test_the_three_acts_end_as_promised(tmp_path: Path, quiet_log: Any) -> None:
    ended = list(demo.play(tmp_path, quiet_log))
    assert [one.kept for one in ended] == [True, True, True], [one.seen for one in ended]
    assert json.loads((tmp_path / "gain" / "summary.json").read_text())["sealed"]["champion_round"] > 0
