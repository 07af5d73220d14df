"""Commands that must not surprise: what they leave behind, what they keep, and where their advice leads."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from selfimprove.cli import main, run
from selfimprove.errors import DataError, StorageError

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    """Run a command in this process, in an empty folder; returns (exit code, standard output, standard error)."""
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["selfimprove", *words])
        monkeypatch.setattr(signal, "signal", lambda *_: None)
        with pytest.raises(SystemExit) as left:
            main.main()
        shown = capsys.readouterr()
        return int(left.value.code or 0), shown.out, shown.err

    return call


# ---- a run that cannot start ---------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("out", "there", "error", "left"),
    [
        ("", "", DataError("no"), []),
        ("a/b/c", "", DataError("no"), []),
        ("a/b/c", "a", DataError("no"), ["a"]),
        ("a/b", "a/b", DataError("no"), ["a", "a/b"]),
        ("a", "", StorageError("full"), ["a", "a/environment.json", "a/recipe.yaml"]),
    ],
)
def test_a_run_that_cannot_start_leaves_no_folder(
    command: Command, monkeypatch: pytest.MonkeyPatch, out: str, there: str, error: Exception, left: list[str]
) -> None:
    if there:
        Path(there).mkdir(parents=True)

    def fail(root: Path, *_: Any) -> None:
        assert (root / "recipe.yaml").is_file()
        raise error

    monkeypatch.setattr(run, "finish", fail)
    code, _, err = command("run", "quickstart", *(["--out", out] if out else []))
    assert code == getattr(error, "code", 0) and err == f"error: {error}\n"
    assert sorted(str(path) for path in Path().rglob("*")) == left


def test_a_run_with_a_finished_step_stays(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(root: Path, *_: Any) -> None:
        (root / "round_000" / "model").mkdir(parents=True)
        raise DataError("no")

    monkeypatch.setattr(run, "finish", fail)
    assert command("run", "quickstart", "--out", "a")[0] == 65 and Path("a/round_000/model").is_dir()


ROWS = "".join(f'{{"prompt": "What is {i} + {i}?", "answer": "{2 * i}"}}\n' for i in range(300))


@pytest.mark.parametrize("verb", ["check", "run"])
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["task=jsonl", "task.jsonl.path=rows.jsonl"], "no worked examples to bootstrap the tiny model on; use model="),
        (["task=gsm8k"], "no worked examples to bootstrap the tiny model on; use model=pretrained"),
        (["model.tiny.roles=[solve,foo]"], "task chain_sums has no role 'foo'"),
        (["model.tiny.roles=[]"], "model.tiny.roles is empty"),
        (["model.tiny.position=x"], "it must be rope or none"),
        (["model.tiny.hidden_size=65"], "it must be a multiple of twice num_attention_heads, 8"),
    ],
)
def test_what_the_tiny_model_cannot_be_made_for_is_refused_before_a_run(
    command: Command, verb: str, words: list[str], said: str
) -> None:
    Path("rows.jsonl").write_text(ROWS)
    code, _, err = command(verb, "quickstart", *words)
    assert code == 2 and said in err and err.count("\n") == 1
    assert [path.name for path in Path().iterdir()] == ["rows.jsonl"]


# ---- bench ---------------------------------------------------------------------------------------------------------
LOST, WON = "failed with exit code 65: error: no", "no significant gain: the start stays champion"


@pytest.mark.parametrize(("said", "code"), [([LOST, LOST], 65), ([LOST, WON], 0), ([WON, WON], 0)])
def test_a_bench_in_which_every_run_failed_fails(
    command: Command, monkeypatch: pytest.MonkeyPatch, said: list[str], code: int
) -> None:
    monkeypatch.setattr("selfimprove.studies.bench.bench", lambda *_: iter(enumerate(said)))
    left, out, err = command("bench", "quickstart", "--seeds", "0,1")
    assert left == code and all(one in out for one in said)
    assert err == ("error: all 2 runs failed; what each one printed is in bench/NAME.log\n" if code else "")


# ---- where files go ------------------------------------------------------------------------------------------------
def test_a_plot_goes_into_a_folder_that_is_made_for_it(command: Command) -> None:
    value = {"value": 0.5, "low": 0.4, "high": 0.6, "n": 9}
    line = {"round": 0, "champion/accuracy": value, "seconds": {"model": 1.0}}
    summary = {"recipe": "quickstart", "seed": 0, "verdict": "none", "per_round": [line]}
    Path("summary.json").write_text(json.dumps(summary))
    assert command("report", ".", "--plot", "new/there/x.svg")[0] == 0
    assert "<svg" in Path("new/there/x.svg").read_text()
    Path("file").touch()
    for place in ("file/x.svg", "new/there/x.svg/y.svg"):
        code, _, err = command("report", ".", "--plot", place)
        assert code == 74 and err.startswith("error: ") and err.count("\n") == 1
