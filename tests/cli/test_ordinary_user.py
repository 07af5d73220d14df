"""Commands of an ordinary user on files that it may not read, enter or write: one line and a documented exit code."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from selfimprove.trials.rehearsal import rehearse
from tests.cli.test_faults import SMALL, Fault, done

BATTERY = Path(__file__).with_name("ordinary_user.py")
ROOT, NOBODY = os.geteuid() == 0, 65534


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that others may enter; those of pytest are closed by every other session."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as made:
        Path(made).chmod(0o755)
        yield Path(made)


def broken(place: Path, run: Path, model: Path, only: str) -> list[str]:
    """The cases whose names begin like this and that break the promise."""
    shutil.copytree(run, place / "run", symlinks=True)
    shutil.copytree(model, place / "model", symlinks=True)
    (place / "here").mkdir()
    roots = [str(Path(__file__).parents[2]), *(path for path in sys.path if path.endswith("-packages"))]
    environment = {"PATH": os.environ["PATH"], "HOME": str(place / "here"), "OMP_NUM_THREADS": "1", "ONLY": only}
    environment |= {"PYTHONPATH": os.pathsep.join(roots), "PYTHONDONTWRITEBYTECODE": "1"}
    user = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if ROOT else {}
    if ROOT:
        for path in (place, *place.rglob("*")):
            os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
    given = [str(BATTERY), *(str(place / name) for name in ("here", "run", "model"))]
    for python in (sys.executable, "/usr/bin/python3"):
        try:
            version = subprocess.run(
                [python, "-c", "import sys; print(sys.version_info[:2])"], cwd="/", stdout=-1, **user
            )
        except OSError:  # its folder is closed to others
            continue
        if version.returncode or version.stdout.decode().strip() != str(sys.version_info[:2]):
            continue
        ended = subprocess.run([python, *given], cwd="/", env=environment, capture_output=True, timeout=3000, **user)
        assert ended.returncode == 0, ended.stderr.decode()[-2000:]
        return json.loads(ended.stdout)
    pytest.skip("no Python of this version that an ordinary user can start")


@pytest.mark.runs
@pytest.mark.faults
def test_data_that_may_not_be_read(place: Path) -> None:
    with rehearse(place) as given:
        assert broken(place, given.whole, given.whole / "round_000" / "model", "data/inner ") == []


@pytest.mark.slow
def test_everything_that_may_not_be_read_entered_or_written(place: Path) -> None:
    code, said = done(["run", "quickstart", "--out", str(place / "made"), *SMALL], Fault(), place)
    assert code == 0, said
    assert broken(place, place / "made", place / "made" / "round_000" / "model", "") == []
