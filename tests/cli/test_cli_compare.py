"""`selfimprove compare` on the command line: tables, JSON, and one line with its exit code for what cannot be done."""

import json
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from selfimprove.cli import commands, main
from selfimprove.loop.loop import Runner

pytestmark = pytest.mark.runs


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> Callable[..., tuple[int, str, str]]:
    """Run a command in this process; returns (exit code, standard output, standard error)."""

    def call(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["selfimprove", *words])
        monkeypatch.setattr(signal, "signal", lambda *_: None)
        monkeypatch.setattr(commands, "out", Console(width=160))
        with pytest.raises(SystemExit) as left:
            main.main()
        shown = capsys.readouterr()
        return int(left.value.code or 0), shown.out, shown.err

    return call


@pytest.fixture
def run(tmp_path: Path, make_run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """`run("a", 0.9)`: examine a start of that skill, without a round, in the folder a of the current one."""
    monkeypatch.chdir(tmp_path)

    def go(name: str, skill: float, *changes: str) -> dict[str, Any]:
        quick = ("rounds=0", "gate_problems=200", "audit_problems=0", "sealed_problems=60")
        store, log = make_run(*quick, *changes, start=skill, name=name)
        return Runner(store, log).run()

    return go


def test_runs_stand_side_by_side_as_tables_and_as_json(command, run) -> None:
    runs = {"weak": run("weak", 0.3), "strong": run("strong", 0.9), "other": run("other", 0.3, "seed=1")}
    code, out, err = command("compare", "weak", "strong", "other")
    assert (code, err) == (0, "")
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in out.splitlines() if line.startswith("│")]
    for row, (name, summary) in zip(rows[:3], runs.items(), strict=True):
        sealed = summary["sealed"]
        gain = "{:+.1f} [{:+.1f}, {:+.1f}]".format(*(100 * value for value in (sealed["delta"], *sealed["ci"])))
        shares = [f"{sealed['start']:.3f}", f"{sealed['champion']:.3f}"]
        assert row == [name, "small", str(summary["seed"]), "0 of 0", *shares, gain]
    assert [row[0] for row in rows[3:]] == ["strong", "other"]
    assert [row[-1] for row in rows[3:]] == ["the same 60: paired", "60 and other 60: not paired"]
    assert "champions against that of weak" in out

    code, out, _ = command("compare", "weak", "strong", "--json")
    result = json.loads(out)
    assert code == 0 and set(result) == {"runs", "comparisons"}
    assert [row["run"] for row in result["runs"]] == ["weak", "strong"]
    [pair] = result["comparisons"]
    assert set(pair) == {"run", "against", "paired", "n", "difference", "ci", "p", "p_holm"}
    assert pair["p_holm"] == pair["p"] < 0.05


def test_a_mistake_gets_one_line_and_its_exit_code(command, make_run, run) -> None:
    run("works", 0.3)
    make_run(name="begun")
    run("short", 0.3, "sealed_problems=50")
    shutil.copytree("works", "damaged", symlinks=True)
    Path("damaged/round_000/sealed/champion.json").write_text("{}")
    for words, code, said in (
        ([], 2, "Missing argument"),
        (["works"], 2, "two runs or more"),
        (["works", "begun"], 66, "Finish it: selfimprove resume begun"),
        (["works", "nowhere"], 66, "nowhere is not a finished run"),
        (["works", "damaged"], 65, "damaged/round_000/sealed is damaged"),
        (["works", "short"], 2, "short cannot be compared with works: sealed_problems is 50, there 60\n"),
    ):
        left, out, err = command("compare", *words)
        assert (left, out, said in err) == (code, "", True), err
        assert err.startswith("error: ") and err.count("\n") == 1
