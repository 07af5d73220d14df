"""Programs read the interpreter's library and nothing of the project, wherever the project lies."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import selfimprove
from selfimprove.safety.sandbox.library import library
from tests.safety.sandbox.test_battery import NOBODY, ROOT, _user, python_for

LIBRARY = os.path.realpath(sysconfig.get_path("stdlib"))
REACH = """
import importlib.util, os, runpy, sys, zipimport
def f(files, folders, modules):
    reached = []
    def attempt(name, work):
        try:
            work()
            reached.append(name)
        except (OSError, ImportError, SyntaxError):
            pass
    for path in files:
        attempt(f"read {path}", lambda: open(path, "rb").read())
        attempt(f"map {path}", lambda: os.open(path, os.O_RDONLY))
    for path in folders:
        attempt(f"list {path}", lambda: os.listdir(path))
    attempt("import", lambda: __import__("selfimprove"))
    attempt("import a part", lambda: __import__("selfimprove.safety.sandbox.grading"))
    for path in (*folders, "", "."):
        sys.path.insert(0, path)
        sys.path_importer_cache.clear()
        importlib.invalidate_caches()
        attempt(f"import from {path}", lambda: __import__("selfimprove"))
        attempt(f"run {path}", lambda: runpy.run_path(path))
    for path in modules:
        spec = importlib.util.spec_from_file_location("m", path)
        attempt(f"load {path}", lambda: spec.loader.exec_module(importlib.util.module_from_spec(spec)))
    return reached
"""
OPEN = """
import json, sys
sys.path.insert(0, sys.argv[1])
from selfimprove.errors import EngineError
from selfimprove.safety.sandbox.jail_process import Program
from selfimprove.safety.sandbox.open import open_sandbox
found, aim = {}, json.loads(sys.argv[2])
for tier in "AB":
    try:
        with open_sandbox(workers=1, tier=tier) as sandbox:
            outcome = sandbox.run(Program(aim["source"], function="f", arguments=[aim["arguments"]]))
            found[tier] = [outcome.status, outcome.answers and outcome.answers[0].value]
    except EngineError as error:
        found[tier] = str(error)
print(json.dumps(found))
"""


@pytest.mark.parametrize("own", ["/nowhere", selfimprove.__path__[0], LIBRARY + "/json", LIBRARY + "/site-packages"])
def test_nothing_of_the_project_and_no_package_is_readable(own: str) -> None:
    found = library(own)
    for path in map(os.path.realpath, found.readable):
        assert not (path + "/").startswith(own + "/") and not own.startswith(path + "/"), path
        assert not {"site-packages", "dist-packages"} & set(path.split("/")), path
        assert not any(Path(path, name).exists() for name in ("site-packages", "dist-packages")), path
    assert own not in found.shown and (own in found.hidden or not own.startswith(LIBRARY))
    assert f"{LIBRARY}/os.py" in found.readable or LIBRARY in found.readable
    assert (
        len(found.readable) < 4000 and len(found.shown) + len(found.hidden) < 900
    )  # the root in memory has 1024 inodes


@pytest.fixture(params=["checkout", "target"])
def project(request: pytest.FixtureRequest) -> Iterator[Path]:
    """A folder with the package as a checkout (or an editable install) has it, with a run in it; or an installed one."""
    folder = Path(tempfile.mkdtemp())
    shutil.copytree(Path(selfimprove.__path__[0]), folder / "selfimprove", ignore=shutil.ignore_patterns("__pycache__"))
    if request.param == "checkout":
        for name in ("runs/one/step.json", ".git/HEAD", "data/answers.jsonl", "private.txt"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text("the answers")
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.long
@pytest.mark.parametrize("uid", [NOBODY if ROOT else os.geteuid(), pytest.param(0, marks=pytest.mark.faults)])
def test_a_program_reaches_neither_the_project_nor_a_run_in_it(project: Path, uid: int) -> None:
    python = python_for(NOBODY if ROOT else uid)  # one that tier B can use as root as well
    if python is None or (uid == 0 and not ROOT):
        pytest.skip("there is no such user, or no Python for it")
    if uid:
        for path in (project, *project.rglob("*")):
            os.chown(path, uid, uid)
    files = [str(path) for path in project.rglob("*") if path.is_file()][:400]
    folders = [
        str(path) for path in (project, *project.iterdir(), project / "selfimprove/safety/sandbox") if path.is_dir()
    ]
    modules = [str(project / f"selfimprove/{name}.py") for name in ("__init__", "errors", "safety/sandbox/values")]
    aim = {"source": REACH, "arguments": [files, folders, modules]}
    command = [python, "-c", OPEN, str(project), json.dumps(aim)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=project, **_user(uid))
    found = {tier: how for tier, how in json.loads(done.stdout).items() if "namespaces are not allowed" not in str(how)}
    assert found and all(how == ["ok", []] for how in found.values()), done.stderr
