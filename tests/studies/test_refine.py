"""`selfimprove refine`: refinements of one model at equal tokens, on selection problems only."""

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
from selfimprove.records import Rollout, read_records

pytestmark = pytest.mark.runs


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> Callable[..., tuple[int, str, str]]:
    """Run a command in this process; returns (exit code, standard output, standard error)."""

    def call(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["selfimprove", *words])
        monkeypatch.setattr(signal, "signal", lambda *_: None)
        with pytest.raises(SystemExit) as left:
            main.main()
        shown = capsys.readouterr()
        return int(left.value.code or 0), shown.out, shown.err

    return call


@pytest.fixture
def small(make_run: Callable[..., Any], tmp_path: Path) -> str:
    """A recipe whose model is right with probability 0.3; no torch."""
    make_run()
    return str(tmp_path / "small.yaml")


def test_methods_are_compared_and_replayed(command: Callable[..., Any], small: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ("--problems", "12", "--methods", "greedy,self_consistency:samples=1/8,revise", "--out", str(out))
    code, said, err = command("refine", small, *words, "--json")
    assert code == 0, err
    found = json.loads(said)
    rows = {row["name"]: row for row in found["methods"]}
    assert list(rows) == ["greedy", "self_consistency:samples=1", "self_consistency:samples=8", "revise"]
    for row in rows.values():
        assert {"name", "tokens", "accuracy", "against_votes", "dominated"} <= row.keys()
        assert row["accuracy"]["low"] <= row["accuracy"]["value"] <= row["accuracy"]["high"]
        assert row["against_votes"]["low"] <= row["against_votes"]["difference"] <= row["against_votes"]["high"]
    assert rows["self_consistency:samples=8"]["tokens"] == 8 * rows["self_consistency:samples=1"]["tokens"]
    assert rows["self_consistency:samples=8"]["against_votes"] == {"difference": 0.0, "low": 0.0, "high": 0.0}
    assert rows["greedy"]["against_greedy"] == {"difference": 0.0, "low": 0.0, "high": 0.0}
    assert [row["replayed"] for row in rows.values()] == [True, True, True, False]
    assert found["votes"][0]["accuracy"] == found["plain"]["accuracy"]
    assert json.loads((out / "refine.json").read_text()) == found

    samples = read_records(out / "samples.jsonl")
    assert len(samples) == 12 * 65 and all(isinstance(one, Rollout) and one.prompt.answer is None for one in samples)
    assert {split_of(one.prompt.key) for one in samples if isinstance(one, Rollout)} == {"selection"}

    code, again, err = command(
        "refine", "--replay", str(out), "--methods", "greedy,self_consistency:samples=1/8,revise"
    )
    assert code == 0 and "left out: revise: it needs the model" in again, err
    assert all(len(line) <= 80 for line in again.splitlines() if not line.startswith(("left out", "over", "dom")))
    replayed = json.loads(
        command("refine", "--replay", str(out), "--methods", "self_consistency:samples=8", "--json")[1]
    )
    assert replayed["methods"] == [rows["self_consistency:samples=8"]]
    (out / "samples.jsonl").write_text("{}\n")
    assert command("refine", "--replay", str(out))[0] == 65


def test_without_methods_all_are_compared_that_can_be_and_the_others_told(
    command: Callable[..., Any], small: str
) -> None:
    code, said, err = command("refine", small, "--problems", "4", "--tokens", "40", "--json")
    found = json.loads(said)
    assert code == 0 and len(found["methods"]) >= 4, err
    assert all(row["budget"] == 40 and row["tokens"] <= 40 for row in found["methods"])
    assert all(one["reason"] for one in found["left_out"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--tokens", "0"), "from 1 on"),
        (("--tokens", "a,b"), "write it as 100,200"),
        (("--methods", "self_consistensy"), "self_consistency"),
        (("--problems", "1"), "at least 2 problems"),
        (("refinement=greedy",), "--methods"),
        (("--replay", "nowhere"), "name one of the two"),
    ],
)
def test_mistakes_are_one_line(command: Callable[..., Any], small: str, words: tuple[str, ...], said: str) -> None:
    code, _, err = command("refine", small, *words)
    assert code == 2 and said in err and err.count("\n") == 1
