"""What the other documents and the project files say is true of the code."""

from __future__ import annotations

import importlib.util
import inspect
import json
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

from selfimprove import errors, records, registry
from selfimprove.cli import main
from selfimprove.loop import stages
from selfimprove.methods.task.chain_sums import ChainSums
from selfimprove.problems.splits import SPLITS
from selfimprove.recipe import compose

ROOT = Path(__file__).resolve().parents[2]
DESIGN = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PINS = {
    line.partition("==")[0].lower().replace("_", "-"): line.partition("==")[2]
    for line in (ROOT / "constraints.txt").read_text().splitlines()
    if line and not line.startswith("#")
}


def script(path: str, name: str) -> ModuleType:
    """A script of the project as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def rows(text: str, head: str) -> list[list[str]]:
    """The cells of the table whose head line starts with `head`."""
    lines = text[text.index(f"\n{head}") + 1 :].splitlines()
    table = lines[: next((i for i, line in enumerate(lines) if not line.startswith("|")), len(lines))]
    return [[cell.strip().strip("`") for cell in line.strip("|").split(" | ")] for line in table[2:]]


# ---- architecture --------------------------------------------------------------------------------------------------
ROOMS = rows(DESIGN[DESIGN.index("## 3. The tree") :], "| package |")


def modules_in(room: Path) -> set[str]:
    """The modules and packages right inside a folder."""
    packages = {path.parent.name for path in room.glob("*/__init__.py")}
    return packages | {path.stem for path in room.glob("*.py")} - {"__init__", "__main__"}


def test_the_tree_names_every_module_and_no_other() -> None:
    package, seen = ROOT / "selfimprove", set[str]()
    for head, text in ROOMS:
        for room in re.findall(r"\w+/?", head):
            seen.add(room.rstrip("/"))
            if room.endswith("/") and room != "methods/":
                named = {name.rstrip("/") for name in re.findall(r"`(\w+/?)`", text)}
                assert named == modules_in(package / room), room
    assert seen == modules_in(package)


def test_the_tree_has_the_order_of_the_import_rules() -> None:
    layers = PROJECT["tool"]["importlinter"]["contracts"][0]["layers"]
    levels = {part.strip().rpartition(".")[2]: level for level, layer in enumerate(layers) for part in layer.split("|")}
    places = [levels[room] for head, _ in ROOMS for room in re.findall(r"\w+", head)]
    assert places == sorted(places) and set(levels) - {"__main__"} == modules_in(ROOT / "selfimprove")


def test_every_file_has_at_most_300_lines_but_for_those_that_the_page_explains() -> None:
    package = ROOT / "selfimprove"
    long = {
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        if len(path.read_text(encoding="utf-8").splitlines()) > 300
    }
    assert long == {file for file, _ in rows(DESIGN, "| file | why it is one file |")} and len(long) <= 5


def test_the_root_of_the_package_has_at_most_twelve_modules() -> None:
    assert len(list((ROOT / "selfimprove").glob("*.py"))) <= 12


def test_each_change_of_the_contributing_page_touches_at_most_three_files_that_are_there() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    changes = rows(page, "| change | files |")
    assert len(changes) == 10
    for change, files in changes:
        paths = re.findall(r"`?((?:selfimprove/[\w/]+|pyproject)\.\w+)", files)
        assert 1 <= len(paths) <= 3, change
        assert all(
            (ROOT / p).exists() or (("NAME" in p or "(new)" in files) and (ROOT / p).parent.is_dir()) for p in paths
        )


def test_the_table_of_slots_is_the_registry() -> None:
    table, said = rows(DESIGN, "| slot | survey |"), re.search(r"A class declares, [^:]*: (.*?)\.", DESIGN)
    assert said
    declared, found = set(re.findall(r"`(\w+)`", said[1])), set[str]()
    assert [row[0] for row in table] == list(registry.SLOTS)
    for slot, _, _, verbs, _ in table:
        own = {name for name, member in vars(registry.SLOTS[slot]).items() if inspect.isfunction(member)}
        public, found = {n for n in own if not n.startswith("_")}, found | own
        assert {verb.strip(" `") for verb in verbs.split(",")} == public - {"close"} - declared
    assert declared <= found


def test_the_table_of_records_is_the_records() -> None:
    table = {row[0]: row[1] for row in rows(DESIGN, "| record | fields |")}
    lineage = {"source", "parents", "info"}
    for name, kind in records.KINDS.items():
        told = {word.strip() for word in re.sub(r"\([^)]*\)", "", table[name]).split(",")}
        assert told == {field for field in kind.__dataclass_fields__ if field not in lineage}
    assert set(table) == set(records.KINDS)


def test_the_table_of_splits_is_the_code() -> None:
    shares, before = {}, 0
    for split, end in SPLITS.items():
        shares[split], before = f"{(end - before) / 10:.0f} %", end
    assert {row[0]: row[1] for row in rows(DESIGN, "| split | share |")} == shares
    told = README[README.index("- A row belongs to") :].split("\n")[0]
    assert all(f"({share})" in told for share in shares.values())


def test_the_run_folder_and_the_verdicts_are_told_as_they_are() -> None:
    folder = DESIGN[DESIGN.index("## 8. The run folder") :].split("```")[1]
    told = re.findall(r"round_00[01]/ +(.*)", folder)
    assert [line.replace("/", "").split() for line in told] == [list(stages.of_round(0)), list(stages.of_round(1))]
    table = [row[0] for row in rows(DESIGN, "| verdict of the gate |")]
    source = inspect.getsource(records.Decision)
    assert table == re.findall(r"`(\w+)`", source)


def test_a_class_or_function_that_is_named_exists() -> None:
    homes = {path.stem: path for path in (ROOT / "selfimprove").rglob("*.py") if "methods" not in path.parts}
    for module, name in re.findall(r"`([a-z_]+)\.(\w+)`", DESIGN):
        if name not in ("py", "yaml", "json", "jsonl", "toml", "md"):
            assert name in homes[module].read_text(), f"{module}.{name}"
    for path in re.findall(r"`([\w/]+/\w+\.\w+)`", DESIGN):
        assert (ROOT / path).exists() or (ROOT / "selfimprove" / path).exists(), path


# ---- commands ------------------------------------------------------------------------------------------------------
PAGES = {path.name: path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs").glob("*.md"))}


def commands(text: str) -> list[list[str]]:
    """The program's own commands in the console blocks of a page; RECIPE stands for any."""
    blocks = "\n".join(re.findall(r"```console\n(.*?)```", text, re.DOTALL)).replace("\\\n", " ")
    lines = [line.removeprefix("$ selfimprove ") for line in blocks.splitlines() if line.startswith("$ selfimprove ")]
    return [[word.replace("RECIPE", "quickstart") for word in shlex.split(line, comments=True)] for line in lines]


SHOWN = [(page, words) for page, text in PAGES.items() for words in commands(text)]


@pytest.mark.parametrize(("page", "words"), SHOWN, ids=[f"{page} {' '.join(words)[:60]}" for page, words in SHOWN])
def test_every_command_is_read_and_every_recipe_of_one_composes(page: str, words: list[str]) -> None:
    group: Any = typer.main.get_command(main.app)
    given = group.commands[words[0]].make_context(words[0], words[1:]).params
    if words[0] in ("run", "check", "diagnose"):
        overrides = given.get("overrides") or []
        recipe, _ = compose.load(given.get("recipe") or given["target"], overrides)
        for override in overrides:
            slot, _, methods = override.partition("=")
            if slot in registry.SLOTS:
                assert list(getattr(recipe, slot)) == methods.strip("[]").split(",")


def test_pages_that_lead_through_a_run_show_commands() -> None:
    assert {page for page, _ in SHOWN} >= {"engines.md", "real_models.md", "scaling.md"}


@pytest.mark.parametrize("page", PAGES)
def test_every_command_in_the_text_exists(page: str) -> None:
    group: Any = typer.main.get_command(main.app)
    for found in re.findall(r"`selfimprove ([^`]+)`", PAGES[page]):
        name, *words = shlex.split(found)
        assert name in group.commands or name == "--help", found
        if (
            name in ("list", "show") and words and words[0].islower() and "shortest" not in words
        ):  # no placeholder, no example
            assert words[0] in registry.SLOTS and all(registry.find(words[0], one) for one in words[1:]), found


# ---- links ---------------------------------------------------------------------------------------------------------
def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    heads = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", re.sub(r"\]\([^)]*\)", "", head).lower()).replace(" ", "-") for head in heads}


def test_every_link_leads_somewhere() -> None:
    for page in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "recipes" / "README.md"):
        for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
            path, _, anchor = target.partition("#")
            place = page.parent / path if path else page
            assert target.startswith("https://") or place.exists(), f"{page.name}: {target}"
            assert not anchor or place.suffix != ".md" or anchor in anchors(place), f"{page.name}: {target}"


# ---- exit codes ----------------------------------------------------------------------------------------------------
def test_the_table_of_exit_codes_is_the_code() -> None:
    table = rows((ROOT / "docs" / "exit_codes.md").read_text(encoding="utf-8"), "| code |")
    raised = {
        kind.code for kind in vars(errors).values() if inspect.isclass(kind) and issubclass(kind, errors.UserError)
    }
    assert {int(row[0]) for row in table} == raised | {0, 1, 130, 143}
    assert all(row[1] and row[2] for row in table)


# ---- project files ---------------------------------------------------------------------------------------------------
def test_every_direct_dependency_has_a_pin_inside_its_range() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    for requirement in map(Requirement, [*PROJECT["project"]["dependencies"], *extras["dev"]]):
        pin = PINS[requirement.name.lower()]
        assert Version(pin) in requirement.specifier and not Version(pin).local, requirement


def test_the_pins_of_the_core_are_what_the_tests_run_with() -> None:
    for name in ("torch", "transformers", "trl", "hydra-core", "omegaconf"):
        assert metadata.version(name).partition("+")[0] == PINS[name]


def test_ci_runs_these_commands_and_nothing_else() -> None:
    lines = [line for line in (ROOT / ".ci" / "run").read_text().splitlines() if line and not line.startswith("#")]
    commands = ["make .venv/developed", "make --jobs 2 --keep-going check test-ci"]
    begin, place, browser, *first, models, build, test = lines
    assert [begin, place, *first] == ["set -euo pipefail", 'cd "$(dirname "$0")/.."', *commands]
    assert (
        browser.startswith("command -v chromium")
        and "apt-get install" in browser
        and browser.endswith('|| echo "no chromium"')
    )
    assert re.fullmatch(r'export MODELS="qwen3 gptoss gemma3( \w+-\w+)*"', models)
    assert [build, test] == ["make fixtures", "make test-models"]
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111


def test_make_check_and_make_test_hide_nothing() -> None:
    plan = subprocess.run(["make", "-n", "check", "test"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for tool in ("ruff check .", "ruff format --check .", "pyright", "lint-imports", "methods_table.py --check"):
        assert tool in plan
    assert re.search(r"OMP_NUM_THREADS=1 \S*pytest -n 2 --dist worksteal\n", plan)
    assert not re.search(r"--ignore|--deselect|\|\| true|-k ", plan)


@pytest.mark.parametrize("recorded", [True, False])
def test_ci_leaves_out_slow_tests_only_and_tries_every_fault_where_no_whole_sweep_is_of_this_store(
    tmp_path: Path, recorded: bool
) -> None:
    for name in ("pyproject.toml", "constraints.txt"):
        (tmp_path / name).write_text("")
    (tmp_path / "Makefile").write_text((ROOT / "Makefile").read_text())
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f"#!/bin/sh\necho $* >&2\nexit {int(not recorded)}\n")
    python.chmod(0o755)
    command = ["make", "-n", "test-ci", "SHARE=7"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    faults = "" if recorded else "--all-faults"
    tests = f'pytest -n 2 --dist worksteal -m "not slow and not gpu and not vllm and not models" --share 7 {faults}\n'
    assert tests in done.stdout
    assert done.stderr.splitlines()[-1] == "scripts/chaos_sweep.py --recorded docs/results/faults.json"


def test_the_slow_tests_are_left_out_by_default() -> None:
    options = PROJECT["tool"]["pytest"]["ini_options"]
    assert "not long and not slow and not gpu and not recipes and not runs and not faults" in options["addopts"]
    assert {marker.partition(":")[0] for marker in options["markers"]} == {
        "faults",
        "gpu",
        "lesson(name)",
        "long",
        "models",
        "only(*names)",
        "recipes",
        "runs",
        "share(n)",
        "slow",
        "sweep",
        "vllm",
    }


def test_the_hooks_are_part_of_make_check() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    recipe = (ROOT / "Makefile").read_text().replace("$(BIN)", ".venv/bin")
    for hook in hooks:
        assert hook["entry"].removesuffix(" --fix") in recipe, hook["id"]


# ---- lm-eval -------------------------------------------------------------------------------------------------------
def test_lm_eval_reads_answers_as_the_task_does(worked: Callable[..., str]) -> None:
    local = yaml.safe_load((ROOT / "docs" / "lm_eval" / "chain_sums.yaml").read_text())
    [pattern] = [step["regex_pattern"] for step in local["filter_list"][0]["filter"] if "regex_pattern" in step]
    longest = ChainSums(max_length=6)
    for text in (worked([3, 5, 8]), worked([9, 9], slip=0), "", "#", "#12", "3#4", "1+2=3#3;", "#7\n"):
        found = re.findall(pattern, text)
        assert (found[0] if found else None) == longest.answer_of(text)
    assert local["generation_kwargs"]["max_gen_toks"] > len(worked([1] * 6))
    assert local["output_type"] == "generate_until" and not local["generation_kwargs"]["do_sample"]


def test_problems_are_exported_as_eval_takes_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export = script("export_problems.py", "export_problems_of_docs")
    file = tmp_path / "problems.jsonl"
    monkeypatch.setattr(sys, "argv", ["export_problems", str(file), "--problems", "7"])
    export.main()
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    expected = ChainSums().problems("selection", 7, 0)
    assert lines == [{"prompt": p.prompt[0]["content"], "answer": p.answer} for p in expected]
    monkeypatch.setattr(sys, "argv", ["export_problems", str(file), "--task", "chainsums"])
    with pytest.raises(SystemExit) as stopped:
        export.main()
    assert stopped.value.code == 66


# ---- benches -------------------------------------------------------------------------------------------------------
@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """What the benches share, importable for them as `bench`."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts" / "bench"))
    module = script("bench/bench.py", "bench")
    monkeypatch.setitem(sys.modules, "bench", module)
    return module


def summary(seed: int, gain: float, champion_round: int) -> dict[str, Any]:
    """A summary.json of one round."""
    sealed = {
        "n": 1000,
        "start": 0.4,
        "champion": 0.4 + gain,
        "delta": gain,
        "ci": [gain - 0.05, gain + 0.05],
        "p": 0.01,
    }
    seconds = {"optimization": 6.0, "evaluation": 1.0, "audit": 0.5}
    shared = {"champion/accuracy": {"value": 0.4}, "alerts": [], "seconds": seconds}
    first = {"round": 0, **shared}
    last = {"round": 1, "candidate/accuracy": {"value": 0.3}, "selection/label_precision": 0.5, **shared}
    return {
        "seconds": 16.0,
        "verdict": "accuracy up" if champion_round else "no significant gain: ...",
        "sealed": {**sealed, "champion_round": champion_round},
        "per_round": [first, {**last, "decision": {"verdict": "reject"}}],
    }


def test_the_quickstart_bench_gives_the_median_and_the_worst(
    bench: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    seeds = script("bench/quickstart_seeds.py", "bench_quickstart_seeds")
    gains = {0: 0.1, 1: 0.3, 2: 0.2}
    monkeypatch.setattr(
        bench, "run", lambda recipe, seed: bench.Run(10.0 + seed, 9.0, summary(seed, gains[seed], 1), f"of {seed}")
    )
    file = tmp_path / "out.json"
    monkeypatch.setattr(sys, "argv", ["quickstart_seeds.py", "--seeds", "0", "1", "2", "--json", str(file)])
    seeds.main()
    found = json.loads(file.read_text())
    assert (found["median_gain"], found["least_gain"], found["most_seconds"]) == (0.2, 0.1, 12.0)
    assert found["most_evaluation_share"] == (2 * 1.5 + 1.0) / 16.0 and found["most_cpu_seconds"] == 9.0
    assert found["lowest_bound"] == pytest.approx(0.05) and found["output"] == "of 0"
    assert found["command"] == "python scripts/bench/quickstart_seeds.py --seeds 0 1 2"
    printed = capsys.readouterr().out
    assert printed.startswith("machine: ") and "median +20.0 points, least +10.0" in printed


def test_the_controls_bench_counts_gains_and_champions(
    bench: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    controls = script("bench/controls.py", "bench_controls")
    monkeypatch.setattr(
        bench, "run", lambda recipe, seed, cache, overrides: bench.Run(1.0, 1.0, summary(seed, 0.0, int(seed == 1)), "")
    )
    file = tmp_path / "out.json"
    words = ["controls.py", "--seeds", "0", "1", "2", "--majority-seeds", "0", "--json", str(file)]
    monkeypatch.setattr(sys, "argv", words)
    controls.main()
    printed = capsys.readouterr().out
    assert "no significant gain on 2 of 3 seeds" in printed and "stays champion in 2 of 2 runs" in printed
    found = json.loads(file.read_text())
    assert [row["gain"] for row in found["random_reward"]] == [False, True, False]
    assert found["majority_vote"][0]["rounds"][1] == {
        "round": 1,
        "precision": 0.5,
        "accuracy": 0.3,
        "verdict": "reject",
        "alerts": [],
    }
