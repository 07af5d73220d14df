"""What README.md says is true: its commands work, its example method runs, its tables and names are up to date."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer

from selfimprove import registry
from selfimprove.cli import main
from selfimprove.loop import begin, loop
from selfimprove.recipe import compose

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = {"README.md": README, "CONTRIBUTING.md": (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")}
COMMANDS = [
    line.removeprefix("$ ")
    for text in PAGES.values()
    for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL)
    for line in block.splitlines()
    if line.startswith("$ ")
]
OWN = [shlex.split(line)[1:] for line in COMMANDS if line.startswith("selfimprove ")]
CHEAP = [words for words in OWN if words[0] in ("list", "show", "check", "report") or "--dry-run" in words]
RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))


def block(name: str, language: str) -> str:
    """The code between two markers of the README."""
    found = re.search(rf"<!-- {name} -->\n```{language}\n(.*?)```\n<!-- /{name} -->", README, re.DOTALL)
    assert found, f"README.md has no block {name}"
    return found[1]


def load(path: Path, name: str) -> ModuleType:
    """A Python file as a module."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def finished(tmp_path: Path, make_run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a finished run at runs/quickstart, as the commands of the README name it."""
    folder, log = make_run("rounds=1", name="runs/quickstart")
    loop.Runner(folder, log).run()
    monkeypatch.chdir(tmp_path)
    return folder.root


# ---- commands ----------------------------------------------------------------------------------------------------
def test_the_readme_shows_commands_of_every_kind() -> None:
    assert {"make", "selfimprove", "python"} <= {line.split()[0] for line in COMMANDS}
    assert {words[0] for words in CHEAP} == {"list", "show", "check", "report", "run"}


@pytest.mark.long
@pytest.mark.parametrize("words", CHEAP, ids=" ".join)
def test_cheap_commands_print_something(
    words: list[str], request: pytest.FixtureRequest, capsys: pytest.CaptureFixture
) -> None:
    if words[0] == "report":
        request.getfixturevalue("finished")
    assert main.app(words, standalone_mode=False) in (0, None)
    assert len(capsys.readouterr().out) > 100


@pytest.mark.parametrize("words", OWN, ids=" ".join)
def test_every_command_is_one_that_the_program_can_read(words: list[str]) -> None:
    group: Any = typer.main.get_command(main.app)
    group.commands[words[0]].make_context(words[0], words[1:])


@pytest.mark.parametrize("words", [w for w in OWN if w[0] in ("run", "check")], ids=" ".join)
def test_every_recipe_of_a_command_composes(words: list[str]) -> None:
    name, *overrides = [word for word in words[1:] if not word.startswith("--") and not word.isdigit()]
    recipe, _ = compose.load(name, overrides)
    for override in overrides:
        slot, _, methods = override.partition("=")
        if slot in registry.SLOTS:
            assert list(getattr(recipe, slot)) == methods.strip("[]").split(",")


def test_the_table_of_commands_is_the_list_of_commands() -> None:
    group: Any = typer.main.get_command(main.app)
    found = re.findall(r"^\| `selfimprove (\w+)([^`]*)`", README, re.MULTILINE)
    rows = dict(reversed(found))  # the first row of a name: the table of figures names commands too
    visible = {name: command for name, command in group.commands.items() if not command.hidden}
    assert set(rows) == set(visible)
    for name, usage in rows.items():
        options = visible[name].params
        known = {option for parameter in options for option in parameter.opts if option.startswith("--")} - {"--help"}
        opposites = {option for parameter in options for option in parameter.secondary_opts}
        assert known <= set(re.findall(r"--[\w-]+", usage)) <= known | opposites, name


def test_every_command_in_the_text_exists() -> None:
    group: Any = typer.main.get_command(main.app)
    for name, text in PAGES.items():
        for word in re.findall(r"`selfimprove ([a-z]+)", text):
            assert word in group.commands, f"{name}: selfimprove {word}"


def test_every_make_target_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for name, text in PAGES.items():
        for word in re.findall(r"(?:`|\$ )make ([a-z-]+)", text):
            assert word in targets, f"{name}: make {word}"


def test_every_script_of_a_command_exists() -> None:
    for words in map(shlex.split, COMMANDS):
        if words[0] == "python":
            assert (ROOT / words[1]).is_file()
        if "--include_path" in words:
            folder = ROOT / words[words.index("--include_path") + 1]
            assert (folder / f"{words[words.index('--tasks') + 1]}.yaml").is_file()


def test_every_link_leads_somewhere() -> None:
    for page in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "recipes" / "README.md"):
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            assert target.startswith("https://") or (page.parent / target).exists(), f"{page.name}: {target}"


# ---- recipes -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_shipped_recipe_is_short_and_says_where_it_comes_from(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 25 and all(len(line) <= 140 for line in lines)
    assert lines[0].startswith("# ") and "arXiv:" in "".join(line for line in lines if line.startswith("#"))


def test_every_recipe_in_the_text_exists() -> None:
    known = {path.stem for path in RECIPES}
    named = set(re.findall(r"selfimprove (?:run|check) ([a-z_]+)\b(?!\.)", README)) | set(
        re.findall(r"runs/([a-z_]+)", README)
    )
    assert named and named <= known


# ---- tables ------------------------------------------------------------------------------------------------------
@pytest.mark.long
def test_a_stale_table_is_found_and_written_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tables = load(ROOT / "scripts" / "methods_table.py", "stale_methods_table")
    (tmp_path / "recipes").mkdir()
    one = (ROOT / "recipes" / "star.yaml").read_text(encoding="utf-8")
    (tmp_path / "recipes" / "star.yaml").write_text(one)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "methods.md").write_text("<!-- methods -->\nout of date\n<!-- /methods -->\n")
    (tmp_path / "README.md").write_text("<!-- recipes -->\n<!-- /recipes -->\n")
    (tmp_path / "recipes" / "README.md").write_text(
        "head\n<!-- survey -->\n<!-- /survey -->\n<!-- recipes -->\n<!-- /recipes -->\ntail\n"
    )
    monkeypatch.setattr(tables, "ROOT", tmp_path)
    monkeypatch.setattr(sys, "argv", ["methods_table", "--check"])
    with pytest.raises(SystemExit, match=r"not up to date: README.md, docs/methods.md, recipes/README.md"):
        tables.main()
    assert "out of date" in (tmp_path / "docs" / "methods.md").read_text()
    monkeypatch.setattr(sys, "argv", ["methods_table"])
    tables.main()
    text = (tmp_path / "docs" / "methods.md").read_text()
    assert "out of date" not in text
    assert "| selection | [`threshold`](../selfimprove/methods/selection/threshold.py) | Keep the" in text
    assert "| [`star`](recipes/star.yaml) | STaR: " in (tmp_path / "README.md").read_text()
    page = (tmp_path / "recipes" / "README.md").read_text()
    assert page.startswith("head\n") and page.endswith("tail\n") and "## star\n" in page
    monkeypatch.setattr(sys, "argv", ["methods_table", "--check"])
    tables.main()


def test_the_figures_are_written_from_the_files_of_the_benches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    figures = load(ROOT / "scripts" / "results_table.py", "figures_results_table")
    machine = {"cores": 2, "threads": 1, "python": "3.11.7", "torch": "2.13.0"}
    run = {"seed": 4, "start": 0.45, "champion": 0.65, "delta": 0.2, "ci": [0.15, 0.25]}
    shares = {"most_cpu_seconds": 90.4, "most_evaluation_share": 0.254}
    best = {
        "rows": [run],
        "most_seconds": 99.6,
        **shares,
        "median_gain": 0.2,
        "least_gain": 0.104,
        "output": "the verdict",
    }
    found = {
        "quickstart_seeds": {"command": "python a.py", "machine": machine, **best},
        "overhead": {
            "command": "python b.py",
            "machine": machine,
            "ratio": 1.0449,
            "cpu_ratio": 1.03,
            "run": 31.25,
            "bare": 29.9,
        },
        "growth": {
            "command": "python c.py",
            "machine": machine,
            "rows": [
                {"rounds": 20, "ms": 50.0, "beside": 50.0, "ratio": 1.0},
                {"rounds": 1000, "ms": 75.0, "beside": 60.0, "ratio": 1.25},
            ],
            "resumed": 1000,
            "resume_seconds": 4.44,
        },
    }
    text = figures.results(found)
    assert "| quickstart, command to verdict, longest | 180 s | 100 s |" in text
    assert "| quickstart, sealed gain, least of the seeds | +10 points | +10.4 points |" in text
    assert "seed 4: 0.45 -> 0.65 (+20.0, +15.0 to +25.0)" in text
    assert "| 30 % | 25 % |" in text and "longest |  | 90 s |" in text
    assert "| 1.06 | 1.045 (31.2 s against 29.9 s); of CPU time 1.030 |" in text
    assert "at 1000 rounds, against 20, without a model | 1.5 | 1.25 (75 ms against 60 ms) |" in text
    assert "| resume of a finished run of 1000 rounds | 5 s | 4.4 s |" in text
    assert "- `python b.py`: 2 cores, 1 threads, Python 3.11.7, torch 2.13.0" in text
    assert figures.recorded(found["quickstart_seeds"]) == "```text\nthe verdict\n```"


# ---- the example method ------------------------------------------------------------------------------------------
@pytest.mark.runs
def test_the_example_method_runs_through_the_example_recipe(
    tmp_path: Path, make_run: Callable[..., Any], quiet_log: Any
) -> None:
    folder, _ = make_run(name="unused")  # for its start model and its engine, which need no torch
    start = compose.load(folder.root / "recipe.yaml")[0].the("model").path
    example = tmp_path / "shortest.py"
    example.write_text(block("method", "python"))
    load(example, "example_shortest")
    mine = tmp_path / "mine.yaml"
    mine.write_text(block("recipe", "yaml"))
    swaps = ["model=pretrained", f"model.pretrained.path={start}", "engine=student", "optimization=practice"]
    small = ["gate_problems=50", "sealed_problems=50", "acquisition.seed_prompts.problems=30"]
    run = begin.create(str(mine), [*swaps, *small], tmp_path / "out")
    summary = loop.Runner(run, quiet_log).run()
    assert summary["rounds"] == 2 and len(summary["per_round"]) == 3
    for line in summary["per_round"][1:]:
        rows = (run.step(line["round"], "selection") / "output.jsonl").read_text().splitlines()
        keys = [json.loads(row)["prompt"]["key"] for row in rows]
        assert 0 < len(keys) == line["selection/kept"] and max(keys.count(key) for key in keys) == 2


def test_the_example_method_keeps_the_shortest(
    tmp_path: Path, make_run: Callable[..., Any], make_context: Callable[..., Any], make_rollout: Callable[..., Any]
) -> None:
    make_run(name="unused")  # restores the registry after the test
    example = tmp_path / "shortest.py"
    example.write_text(block("method", "python"))
    method = load(example, "example_of_one").Shortest
    records = [
        make_rollout(text, prompt) for prompt, text in [("1+2", "#33"), ("1+2", "#3"), ("4+4", "##8"), ("1+2", "#4")]
    ]
    assert [r.text for r in method().select(records, make_context())] == ["#3", "##8"]
    assert [r.text for r in method(keep=2).select(records, make_context())] == ["#3", "#4", "##8"]
    entry = registry.find("selection", "shortest")
    assert all(
        f"\n{section}:" in registry.document(entry) for section in ("Idea", "Survey", "Paper", "Algorithm", "Differs")
    )
    assert [(o.name, o.default, o.help) for o in registry.options(method)] == [
        ("keep", "1", "Rollouts kept of each problem.")
    ]


def test_the_example_method_is_found_as_a_plugin(tmp_path: Path) -> None:
    [entry] = tomllib.loads(re.findall(r"```toml\n(.*?)```", README, re.DOTALL)[0])["project"]["entry-points"].items()
    [(name, module)] = entry[1].items()
    package, file = module.split(".")
    (tmp_path / package).mkdir()
    (tmp_path / package / f"{file}.py").write_text(block("method", "python"))
    noted = tmp_path / f"{package}-1.0.dist-info"
    noted.mkdir()
    (noted / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (noted / "entry_points.txt").write_text(f"[{entry[0]}]\n{name} = {module}\n")
    command = [sys.executable, "-m", "selfimprove", "show", "selection", "shortest"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "COLUMNS": "100"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert (
        "Keep the shortest rollouts of each problem." in done.stdout and "Rollouts kept of each problem." in done.stdout
    )
