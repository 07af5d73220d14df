"""How the tests are run, see conftest.py at the root: the order, the shares, and going on after a stop."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.runs
TESTS = """
import pathlib, pytest

def test_quick(): pass

@pytest.mark.runs
def test_run(): pass

@pytest.mark.parametrize("n", [pytest.param(n, marks=[pytest.mark.recipes, pytest.mark.share(n)]) for n in range(8)])
def test_recipe(n): pass

@pytest.mark.faults
@pytest.mark.sweep
def test_sweep(): assert not pathlib.Path("broken").exists()
"""
MARKERS = ("faults", "long", "recipes", "runs", "share(n)", "slow", "sweep")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with these tests, known to git."""
    shutil.copy(Path(__file__).resolve().parents[1] / "conftest.py", tmp_path)
    (tmp_path / "test_it.py").write_text(TESTS)
    (tmp_path / ".gitignore").write_text("__pycache__\npassed\nbroken\n")
    markers = ", ".join(f'"{name}"' for name in MARKERS)
    (tmp_path / "pyproject.toml").write_text(f"[tool.pytest.ini_options]\nmarkers = [{markers}]\n")
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    return tmp_path


def run(project: Path, *options: str) -> tuple[list[str], str]:
    """The tests that ran, in order, and all that was said."""
    command = [sys.executable, "-m", "pytest", "-v", "-rN", "-p", "no:cacheprovider", *options]
    said = subprocess.run(command, cwd=project, capture_output=True, text=True).stdout
    return re.findall(r"(test_\w+(?:\[\d\])?) (?:PASSED|FAILED)|(?:PASSED|FAILED) test_it.py::(\S+)", said), said


def names(found: list[str]) -> list[str]:
    return ["".join(pair) for pair in found]


def test_the_long_ones_come_first(project: Path) -> None:
    found, _ = run(project)
    recipes = [f"test_recipe[{n}]" for n in range(8)]
    assert names(found) == ["test_sweep", *recipes, "test_run", "test_quick"]


def test_a_share_takes_its_fourth_and_all_that_has_none(project: Path) -> None:
    found, said = run(project, "--share", "379")
    assert names(found) == ["test_sweep", "test_recipe[3]", "test_recipe[7]", "test_quick"]
    assert "share 379 of what rotates; the same again: --share 379" in said and "7 deselected" in said
    found, _ = run(project, "--share", "380")  # the first byte of the sha256 of test_it.py::test_run is a multiple of 4
    assert names(found) == ["test_sweep", "test_recipe[0]", "test_recipe[4]", "test_run", "test_quick"]


@pytest.mark.parametrize("workers", [(), ("-n", "2", "--dist", "worksteal")])
def test_what_passed_is_left_out_until_something_changes(project: Path, workers: tuple[str, ...]) -> None:
    again = (*workers, "--go-on", "passed/full")
    (project / "broken").touch()
    found, said = run(project, *again)
    assert len(found) == 11 and "1 failed, 10 passed" in said
    (project / "broken").unlink()  # git ignores it, so it is no change of the project
    found, _ = run(project, *again)
    assert names(found) == ["test_sweep"]
    (project / "test_it.py").write_text(TESTS + "\n# changed\n")
    found, _ = run(project, *again)
    assert len(found) == 11
