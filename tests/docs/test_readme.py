"""What README.md and the pages that it was split into say is true: commands, example method, tables and names."""

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
PAGES = {
    name: (ROOT / name).read_text(encoding="utf-8")
    for name in ("README.md", "CONTRIBUTING.md", "docs/tutorial.md", "docs/lm_eval.md")
}
EXTEND = (ROOT / "docs" / "extend.md").read_text(encoding="utf-8")
COMMANDS = [
    line.removeprefix("$ ")
    for text in PAGES.values()
    for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL)
    for line in block.splitlines()
    if line.startswith("$ ")
]
COMMANDS = list(dict.fromkeys(COMMANDS))
OWN = [shlex.split(line)[1:] for line in COMMANDS if line.startswith("selfimprove ")]
CHEAP = [words for words in OWN if words[0] in ("list", "show", "check", "report") or "--dry-run" in words]
RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))


def block(name: str, language: str) -> str:
    """The code between two markers of the page on methods of one's own."""
    found = re.search(rf"<!-- {name} -->\n```{language}\n(.*?)```\n<!-- /{name} -->", EXTEND, re.DOTALL)
    assert found, f"docs/extend.md has no block {name}"
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


def test_the_tables_of_commands_name_each_command_and_each_option() -> None:
    group: Any = typer.main.get_command(main.app)
    visible = {name: command for name, command in group.commands.items() if not command.hidden}
    assert re.findall(r"^\| \[`(\w+)`\]\(docs/commands.md#\w+\)", README, re.MULTILINE) == list(visible)
    _, *parts = re.split(r"^## (\w+)$", (ROOT / "docs" / "commands.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    sections = dict(zip(parts[::2], parts[1::2], strict=True))
    assert list(sections) == list(visible)
    for name, command in visible.items():
        options = {
            option for one in command.params for option in (*one.opts, *one.secondary_opts) if option[:2] == "--"
        }
        assert options - {"--help"} == set(re.findall(r"(?<=`)--[\w-]+", sections[name])), name


def test_the_readme_has_at_most_200_lines() -> None:
    assert len(README.splitlines()) <= 200


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
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    tables = load(ROOT / "scripts" / "methods_table.py", "stale_methods_table")
    (tmp_path / "recipes").mkdir()
    one = (ROOT / "recipes" / "star.yaml").read_text(encoding="utf-8")
    (tmp_path / "recipes" / "star.yaml").write_text(one)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "methods.md").write_text(
        "<!-- methods -->\nout of date\n<!-- /methods -->\n<!-- families -->\n<!-- /families -->\n"
    )
    for page in ("README.md", "docs/commands.md"):
        (tmp_path / page).write_text("<!-- commands -->\n<!-- /commands -->\n")
    (tmp_path / "docs" / "acquisition.md").write_text(
        "".join(f"<!-- {slot} -->\n<!-- /{slot} -->\n" for slot in ("acquisition", "selection"))
    )
    blocks = "".join(f"<!-- {name} -->\n<!-- /{name} -->\n" for name in ("index", "survey", "recipes"))
    (tmp_path / "recipes" / "README.md").write_text(f"head\n{blocks}tail\n")
    monkeypatch.setattr(tables, "ROOT", tmp_path)
    monkeypatch.setattr(sys, "argv", ["methods_table", "--check"])
    with pytest.raises(
        SystemExit, match=r"not up to date: README.md, docs/commands.md, docs/methods.md, docs/acquisition.md, recipes/"
    ):
        tables.main()
    assert "out of date" in (tmp_path / "docs" / "methods.md").read_text()
    monkeypatch.setattr(sys, "argv", ["methods_table"])
    tables.main()
    text = (tmp_path / "docs" / "methods.md").read_text()
    assert "out of date" not in text
    assert "| selection | [`threshold`](../selfimprove/methods/selection/threshold.py) | Keep the" in text
    assert "| [`run`](docs/commands.md#run) | Run a recipe" in (tmp_path / "README.md").read_text()
    page = (tmp_path / "recipes" / "README.md").read_text()
    assert "| [`star`](star.yaml) | STaR: " in page
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
    [entry] = tomllib.loads(re.findall(r"```toml\n(.*?)```", EXTEND, re.DOTALL)[0])["project"]["entry-points"].items()
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
