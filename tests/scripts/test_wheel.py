"""The wheel has everything in it: built, installed in an empty environment, and used outside the repository."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

import selfimprove

ROOT = Path(__file__).resolve().parents[2]
SMALL = [
    "rounds=1",
    "model.tiny.max_steps=20",
    "gate_problems=20",
    "sealed_problems=20",
    "control_problems=0",
    "probe_problems=5",
    "alarm=[]",
]
SMALL += [
    "acquisition.seed_prompts.problems=20",
    "acquisition.rejection_sampling.samples=4",
    "optimization.sft.max_steps=2",
]


@pytest.mark.long
def test_the_wheel_is_installed_and_used_in_an_empty_folder(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    build = [*command, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True, text=True)
    [wheel] = tmp_path.glob("selfimprove-*.whl")
    assert wheel.name.split("-")[1] == selfimprove.__version__
    packed = set(zipfile.ZipFile(wheel).namelist())
    kept = {
        path.relative_to(ROOT).as_posix()
        for kind in ("*.py", "*.txt", "py.typed")
        for path in (ROOT / "selfimprove").rglob(kind)
    }
    assert kept <= packed
    assert {f"selfimprove/recipes/{path.name}" for path in (ROOT / "recipes").glob("*.yaml")} <= packed
    venv.create(tmp_path / "env", symlinks=True)
    python = tmp_path / "env" / "bin" / "python"
    subprocess.run(
        [*command, "--python", str(python), "install", "--no-compile", "--no-deps", "--no-index", str(wheel)],
        check=True,
    )
    [site] = (tmp_path / "env" / "lib").glob("python*/site-packages")
    (site / "installed_before.pth").write_text(sysconfig.get_path("purelib") + "\n")  # its own .pth files do not count
    work = tmp_path / "work"
    work.mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment |= {"HF_HUB_OFFLINE": "1", "SELFIMPROVE_CACHE": str(tmp_path / "cache"), "COLUMNS": "100"}

    def typed(*words: str) -> str:
        done = subprocess.run(
            [str(python.with_name("selfimprove")), *words], cwd=work, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    where = "import selfimprove, pathlib; print(pathlib.Path(selfimprove.__file__).parent)"
    there = subprocess.run([str(python), "-c", where], cwd=work, env=environment, capture_output=True, text=True)
    assert there.stdout.strip() == str(site / "selfimprove")
    assert typed("--version") == f"selfimprove {selfimprove.__version__}\n"
    assert "threshold" in typed("list", "selection") and "quickstart" in typed("check", "quickstart")
    typed("run", "quickstart", *SMALL)
    assert (work / "runs" / "quickstart" / "summary.json").exists()
