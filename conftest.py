"""How the tests are run: which share of what rotates, the long ones first, and on from where a stopped run stopped.

    pytest -m recipes --share 7           the recipes, whole runs and faults that CI takes of the commit number 7
    pytest -m faults --all-faults         every point of faults
    pytest -m "not gpu" --go-on FILE      without the tests that passed before, as FILE has them

What tests share is in tests/conftest.py.
"""

from __future__ import annotations

import gc
import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent
LONGEST_FIRST = ("sweep", "recipes", "slow", "faults", "runs", "long")
"""Workers steal the last half of the longest queue: what is long comes first, so that they end at the same time."""
SHARES = 4
SNAPSHOT = "passed-before"
HEAVY = pytest.StashKey[bool]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options above."""
    group = parser.getgroup("selfimprove")
    group.addoption("--share", type=int, metavar="N", help="of recipes, whole runs and faults, share number N")
    group.addoption("--all-faults", action="store_true", help="every point of faults and every damage")
    group.addoption("--go-on", metavar="FILE", help="leave out what FILE says has passed; note what passes")


def pytest_configure(config: pytest.Config) -> None:
    """With --go-on, the process that starts the workers keeps the file."""
    place = config.getoption("go_on")
    if place and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Passed(Path(place)), SNAPSHOT)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Say how to run the same tests again."""
    reporter, share = session.config.pluginmanager.get_plugin("terminalreporter"), session.config.getoption("share")
    if reporter and share is not None:
        faults = ", every point of faults" if session.config.getoption("all_faults") else ""
        reporter.write_line(f"share {share} of what rotates{faults}; the same again: --share {share}")


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist, which the environment of vLLM lacks
def pytest_configure_node(node: Any) -> None:
    """A worker of xdist is told what had passed when the whole run began: all workers must collect the same."""
    passed = node.config.pluginmanager.get_plugin(SNAPSHOT)
    node.workerinput[SNAPSHOT] = sorted(passed.before) if passed else []


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what has passed or rests in this share, and sort."""
    share = config.getoption("share")
    plugin = config.pluginmanager.get_plugin(SNAPSHOT)
    passed = plugin.before if plugin else set(getattr(config, "workerinput", {}).get(SNAPSHOT, ()))

    def left_out(item: pytest.Item) -> bool:
        own = _share(item)
        rests = share is not None and own is not None and (share - own) % SHARES != 0
        return rests or item.nodeid in passed

    out = [item for item in items if left_out(item)]
    if out:
        config.hook.pytest_deselected(items=out)
    items[:] = sorted((item for item in items if not left_out(item)), key=_place)


def _share(item: pytest.Item) -> int | None:
    """The share in which a test is run; None: in each. Whole runs and faults are spread by their names, attacks not."""
    marks = {mark.name for mark in item.iter_markers()}
    if mark := item.get_closest_marker("share"):
        return mark.args[0]
    if marks & {"runs", "faults"} and not marks & {"sweep", "recipes"} and "safety" not in item.path.parts:
        return hashlib.sha256(item.nodeid.encode()).digest()[0]
    return None


def _place(item: pytest.Item) -> int:
    marks = {mark.name for mark in item.iter_markers()}
    return next((number for number, name in enumerate(LONGEST_FIRST) if name in marks), len(LONGEST_FIRST))


class Passed:
    """The tests that have passed since the project was last changed, in a file of one name a line."""

    def __init__(self, place: Path) -> None:
        self.place, now = place, _fingerprint()
        head, *names = place.read_text().splitlines() if place.exists() else [""]
        self.before = set(names) if head == now else set[str]()
        if not self.before:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(f"{now}\n")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Teardown comes last; a test whose teardown fails is tried again, one that failed before as well."""
        if report.when == "call" and report.passed:
            with self.place.open("a") as file:
                file.write(f"{report.nodeid}\n")

    def pytest_report_collectionfinish(self) -> str:
        return f"{len(self.before)} tests had passed before, see {self.place}"


def _fingerprint() -> str:
    """Of every file that git knows or would know, as it is now."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, check=True).stdout.split(b"\0")
    found = hashlib.sha256()
    for name in sorted({name for name in names if name}):
        path = ROOT / name.decode()
        found.update(name + (path.read_bytes() if path.is_file() else b""))
    return found.hexdigest()


def pytest_collection_finish(session: pytest.Session) -> None:
    """What is imported stays: a collection of garbage need not go through it, each time that a run asks for one."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    """The same for torch and its relatives, once a test has loaded them."""
    if "trl.trainer.sft_trainer" in sys.modules and not item.config.stash.get(HEAVY, False):
        item.config.stash[HEAVY] = True
        gc.collect()
        gc.freeze()
