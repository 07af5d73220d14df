"""What a newcomer waits for: from a clone to a verdict, and from a wheel in an empty folder to the end of the demo.

Three measurements, each as somebody would do it, without caches of ours:

1. clone: `git clone`, then `make run` in it: it installs into a new environment and runs the quickstart. Goal 180 s
   on two cores.
2. wheel: the wheel is built, and installed into a new environment outside the repository (not counted, as it depends on
   the network); then `selfimprove demo` runs in an empty folder. Goal 120 s.
3. demo: the same as 2 once more, with all files in the system's memory.

Run it while nothing else runs: the load of the machine before it began is in the table. pip's own cache of downloads is
used as it is, so say whether it was empty.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import bench

ROOT = Path(__file__).resolve().parents[2]
GOALS = {"clone": 180.0, "wheel": 120.0, "demo": 120.0}
"""Measurement -> the most seconds that it may take."""


def main() -> None:
    parser = bench.arguments(__doc__ or "")
    parser.add_argument("--only", choices=[*GOALS], action="append", help="measure this; several times for several")
    parser.add_argument("--wheel", type=Path, help="an environment with the wheel, made before; for wheel and demo")
    options = parser.parse_args()
    machine, load = bench.machine(), os.getloadavg()[0]
    print(f"load before: {load:.2f} of {machine['cores']} cores", flush=True)
    wanted = options.only or [*GOALS]
    rows = dict[str, float]()
    with tempfile.TemporaryDirectory(prefix="first-contact-") as folder:
        place = Path(folder)
        if "clone" in wanted:
            rows["clone"] = clone(place / "clone")
        if {"wheel", "demo"} & {*wanted}:
            home = options.wheel or environment(place)
            rows |= {name: demo(home, place / name) for name in ("wheel", "demo") if name in wanted}
    bench.show(["what", "seconds", "goal"], [(name, took, GOALS[name]) for name, took in rows.items()])
    bench.save(options.json, machine, seconds=rows, load=load)
    if late := [name for name, took in rows.items() if took > GOALS[name]]:
        sys.exit(f"longer than the goal: {', '.join(late)}" + ("; the machine was busy" if load > 0.5 else ""))


def fresh(place: Path) -> dict[str, str]:
    """The environment of a process that has never run the program: no caches of it, none of this one's settings."""
    ours = ("SELFIMPROVE", "PYTHONPATH", "VIRTUAL_ENV", "OMP_", "HF_", "TOKENIZERS", "TRANSFORMERS")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return {**kept, "XDG_CACHE_HOME": str(place / "cache")} | _downloads()


def _downloads() -> dict[str, str]:
    """Where pip keeps what it has downloaded, which is not in the cache of the program."""
    found = subprocess.run([sys.executable, "-m", "pip", "cache", "dir"], capture_output=True, text=True, check=False)
    return {"PIP_CACHE_DIR": found.stdout.strip()} if found.returncode == 0 and found.stdout.strip() else {}


def timed(words: list[str], where: Path, place: Path) -> float:
    """Seconds of a command; its output is shown if it fails."""
    began = time.perf_counter()
    done = subprocess.run(words, cwd=where, env=fresh(place), capture_output=True, text=True, check=False)
    took = time.perf_counter() - began
    if done.returncode:
        sys.exit(f"{' '.join(words)} ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    last = (done.stdout or done.stderr).rstrip().rpartition("\n")[2]
    print(f"{' '.join(words)}: {took:.1f} s {last}", flush=True)
    return took


def clone(folder: Path) -> float:
    """The two commands of the README."""
    took = timed(["git", "clone", "--quiet", str(ROOT), str(folder)], ROOT, folder.parent)
    return took + timed(["make", "run", f"PYTHON={sys.executable}"], folder, folder.parent)


def environment(place: Path) -> Path:
    """A new environment with the wheel of this tree."""
    source = place / "source"
    skipped = shutil.ignore_patterns(".git", ".venv*", "runs", "__pycache__", ".pytest_cache", "build", "dist")
    shutil.copytree(ROOT, source, ignore=skipped)
    timed([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", "dist", "."], source, place)
    home = place / "environment"
    timed([sys.executable, "-m", "venv", str(home)], place, place)
    [wheel] = (source / "dist").glob("selfimprove-*.whl")
    pins = ["--constraint", str(ROOT / "constraints.txt")]
    timed([str(home / "bin/python"), "-m", "pip", "install", "--quiet", *pins, str(wheel)], place, place)
    return home


def demo(home: Path, folder: Path) -> float:
    """`selfimprove demo` in an empty folder."""
    folder.mkdir()
    return timed([str(home / "bin/selfimprove"), "demo"], folder, folder)


if __name__ == "__main__":
    main()
