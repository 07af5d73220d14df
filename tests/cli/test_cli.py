"""The command line: every mistake gets one line and a documented exit code, never a traceback; help is instant."""

import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

import selfimprove
from selfimprove import errors
from selfimprove.cli import main
from selfimprove.costs import Cost
from selfimprove.report.pace import Part

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def command(monkeypatch, capsys):
    """Run a command in this process; returns (exit code, standard output, standard error)."""

    def call(*words: str):
        monkeypatch.setattr(sys, "argv", ["selfimprove", *words])
        monkeypatch.setattr(signal, "signal", lambda *_: None)
        with pytest.raises(SystemExit) as left:
            main.main()
        shown = capsys.readouterr()
        return left.value.code or 0, shown.out, shown.err

    return call


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["run", "quikstart"], 66, "Did you mean 'quickstart'?"),
        (["check", "quickstart", "selection=treshold"], 2, "Did you mean 'threshold'?"),
        (["check", "quickstart", "selection.threshold.min_scor=1"], 2, "Did you mean 'min_score'?"),
        (["check", "quickstart", "optimization=dpo"], 2, "These fit between them: best_vs_worst"),
        (["check", "quickstart", "model=pretrained"], 2, "model.pretrained.path is required"),
        (["check", "quickstart", "rounds=many"], 2, "could not be converted to Integer"),
        (["list", "selektion"], 2, "Did you mean 'selection'?"),
        (["show", "selection", "treshold"], 2, "Did you mean 'threshold'?"),
        (["frobnicate"], 2, "No such command"),
        (["run"], 2, "Missing argument"),
        (["resume", "."], 66, "is not a run folder"),
        (["report", "."], 66, "is not a finished run"),
        (["eval", "no/such/folder"], 66, "the folder no/such/folder does not exist"),
        (["eval", "."], 65, "is not a model folder"),
    ],
)
def test_a_mistake_gets_one_line_and_its_exit_code(command, tmp_path, monkeypatch, words, code, said):
    monkeypatch.chdir(tmp_path)
    left, out, err = command(*words)
    assert left == code
    assert said in err
    assert err.startswith("error: ") and err.count("\n") == 1 and "Traceback" not in out + err


@pytest.mark.parametrize("words", [["--help"], ["-h"]])
def test_help_shows_the_commands(command, words):
    code, out, err = command(*words)
    assert code == 0 and not err
    assert "Usage: " in out and "--version" in out and "Run a recipe: N rounds" in out


def test_the_version_is_that_of_the_package_which_the_project_declares(command):
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert declared["project"]["dynamic"] == ["version"]
    assert declared["tool"]["hatch"]["version"]["path"] == "selfimprove/__init__.py"
    assert command("--version") == (0, f"selfimprove {selfimprove.__version__}\n", "")


def test_the_license_is_the_declared_one():
    text, project = (ROOT / "LICENSE").read_text(), tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["license"] == "Apache-2.0" and project["license-files"] == ["LICENSE"]
    words = ("Apache License\n", "Version 2.0, January 2004", "9. Accepting Warranty", "END OF TERMS AND CONDITIONS")
    assert all(word in text for word in words)


def test_the_line_after_make_run_says_how_to_go_on():
    done = subprocess.run(
        ["make", "-n", "--no-print-directory", "-o", ".venv/installed", "run"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.stdout.splitlines()[-1] == 'echo "Next, so that selfimprove is found: source .venv/bin/activate"'


def test_a_bug_keeps_its_traceback(command, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("selfimprove.recipe.cost.estimate", broken)
    monkeypatch.setattr(sys, "argv", ["selfimprove", "check", "quickstart"])
    with pytest.raises(ZeroDivisionError):
        main.main()


@pytest.mark.parametrize(("number", "code"), [(28, 74), (5, 74), (30, 74)])
def test_a_full_or_failing_disk_is_exit_code_74(command, monkeypatch, number, code):
    def full(*_):
        raise OSError(number, os.strerror(number), "runs/x")

    monkeypatch.setattr("selfimprove.loop.begin.create", full)
    left, _, err = command("run", "quickstart")
    assert left == code and os.strerror(number) in err


def test_the_exit_codes_are_the_documented_ones():
    documented = {2, 3, 4, 65, 66, 69, 74, 75, 130}
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.UserError)]
    assert {kind.code for kind in kinds} == documented


@pytest.mark.long
def test_a_dry_run_prints_a_recipe_that_runs(command, tmp_path):
    code, out, _ = command("run", "star", "rounds=2", "--seed", "7", "--dry-run")
    assert code == 0
    saved = tmp_path / "star.yaml"
    saved.write_text(out)
    code, again, _ = command("run", str(saved), "--dry-run")
    assert (code, again) == (0, out)
    assert "seed: 7" in out and "rounds: 2" in out


def test_check_counts_samples_and_steps(command):
    code, out, _ = command("check", "quickstart")
    assert code == 0
    assert "at most 42,300 completions" in out and "200 training steps" in out


def test_check_says_the_same_to_machines(command):
    code, out, _ = command("check", "quickstart", "--json")
    found = json.loads(out)
    assert code == 0 and found["at_most"] and found["hours"] is None and found["methods"]["optimization"] == ["sft"]
    assert sum(part["completions"] for name, part in found["parts"].items() if name != "start") == 42300


@pytest.mark.long
def test_a_calibration_says_how_fast_it_goes_and_what_that_comes_to(command, monkeypatch):
    drawn = Part(Cost(completions=400, tokens=10_000), 2.0)
    parts = {"data": drawn, "audit": drawn, "evaluation": drawn, "exam": drawn, "training": Part(Cost(steps=10), 4.0)}
    monkeypatch.setattr("selfimprove.studies.calibrate.calibrate", lambda *_: parts)
    code, out, _ = command("check", "quickstart", "--calibrate")
    said = "measured here: 25.0 tokens per completion, 200.0 completions/s, 2.50 training steps/s"
    assert code == 0 and said in out
    assert "about 1,057,500 tokens and 4.9 minutes by what was measured" in out  # 42300 * 25; 211.5 s and 80 s
    found = json.loads(command("check", "quickstart", "--calibrate", "--json")[1])
    assert found["tokens_expected"] == 1_057_500 and found["measured"]["steps_per_second"] == 2.5
    code, _, err = command("check", "quickstart", "--calibrate", "--like", "runs/one")
    assert code == 2 and "give one of them" in err


def test_show_has_the_options_with_their_help(command):
    code, out, _ = command("show", "selection", "threshold")
    assert code == 0
    assert "min_score" in out and "Lowest reward to keep" in out and "arXiv:2312.06585" in out


def test_report_reads_what_a_run_wrote(command, tmp_path):
    line = {"round": 0, "champion/accuracy": {"value": 0.5, "low": 0.4, "high": 0.6, "n": 9}, "seconds": {"model": 1.0}}
    sealed = {"n": 9, "start": 0.5, "champion": 0.5, "delta": 0.0, "ci": [0.0, 0.0], "champion_round": 0}
    told = {"verdict": "no significant gain", "rounds": 0, "sealed": sealed}
    summary = {"recipe": "quickstart", "seed": 0, **told, "per_round": [line]}
    (tmp_path / "summary.json").write_text(json.dumps(summary))
    code, out, _ = command("report", str(tmp_path))
    assert code == 0 and "NO GAIN  the start stays champion, accuracy 0.500" in out and "start     0.500" in out
    code, out, _ = command("report", str(tmp_path), "--json")
    assert code == 0 and json.loads(out) == [summary]
    odd = {**line, "round": 1, "decision": {"verdict": "accept", "reason": ""}, "selection/kept": 10**400}
    (tmp_path / "summary.json").write_text(json.dumps({**summary, "per_round": [line, odd]}))
    code, out, err = command("report", str(tmp_path))
    assert (code, out, err.count("\n")) == (65, "", 1) and "summary.json is damaged" in err


@pytest.mark.long
@pytest.mark.parametrize("words", [["--help"], ["list"], ["recipes"], ["check", "quickstart"]])
def test_light_commands_import_neither_torch_nor_transformers(words):
    program = (
        "import sys; sys.argv = ['selfimprove', *sys.argv[1:]]\n"
        "from selfimprove.cli.main import main\n"
        "try: main()\n"
        "except SystemExit as left: assert not left.code, left.code\n"
        "heavy = {'torch', 'transformers', 'trl', 'datasets', 'scipy', 'vllm'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.long
@pytest.mark.parametrize("loaded", [False, True])
@pytest.mark.parametrize(("sent", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_stopped_command_says_so_and_leaves_at_once_where_torch_is_loaded(sent, code, loaded):
    program = (
        "import atexit, signal, sys\n"
        "from selfimprove import __main__\nfrom selfimprove.recipe import cost\n"
        "class Slow:\n"
        "    def __del__(self): print('taken apart')\n"
        f"sys.modules['torch' if {loaded} else 'other'] = Slow()\n"
        "atexit.register(print, 'last words')\n"
        f"cost.estimate = lambda *_: signal.raise_signal(signal.{sent})\n"
        "sys.argv = ['selfimprove', 'check', 'quickstart']\n"
        "__main__.entry()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (code, "error: interrupted\n")
    assert "last words" in done.stdout and ("taken apart" in done.stdout) != loaded


@pytest.mark.faults
@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_run_says_how_to_go_on(tmp_path, sent, code):
    root = tmp_path / "run"
    environment = {**os.environ, "SELFIMPROVE_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    words = ["run", "quickstart", "--out", str(root), "model.tiny.max_steps=100000", "model.tiny.target_accuracy=2"]
    child = subprocess.Popen(
        [sys.executable, "-m", "selfimprove", *words], env=environment, stderr=subprocess.PIPE, text=True
    )
    limit = time.monotonic() + 60
    while not (root / "round_000" / ".model.partial").exists() and time.monotonic() < limit:
        os.sched_yield()
    child.send_signal(sent)
    try:
        _, said = child.communicate(timeout=60)
    finally:
        child.kill()  # one that does not stop would go on for hours
    assert child.returncode == code
    assert f"selfimprove resume {root}" in said and "Traceback" not in said
    assert not (root / "round_000" / ".model.partial").exists()
