"""A recipe under random kills: whenever it is killed, the run must end with the same bytes as an undisturbed run."""

from __future__ import annotations

import contextlib
import os
import random
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from selfimprove.errors import DataError
from selfimprove.store.run_folder import RunDir
from selfimprove.store.seal import MANIFEST
from selfimprove.trials.rehearsal import contents

MARK = "SELFIMPROVE_CHAOS"
"""The environment variable that marks every process of a trial, to find processes that survive a kill."""
SETTLE = 2.0
"""Seconds that other processes may take to end after the kill."""


@dataclass(frozen=True)
class Kill:
    """One kill."""

    run: int
    after: float
    """Seconds since the process started."""
    finished: int
    """Steps finished by then."""
    writing: str
    """The step in progress."""
    orphans: int
    """Processes that still existed two seconds later."""


@dataclass(frozen=True)
class Ended:
    """A run that finished."""

    run: int
    starts: int
    """Processes started until it finished."""
    differs: list[str]
    """Files that differ from the undisturbed run."""


def chaos(name: str, overrides: Sequence[str], kills: int, folder: Path, seed: int = 0) -> Iterator[Kill | Ended]:
    """Run a recipe undisturbed, then again under `kills` kills, each at a random moment of a run's duration.

    If a run finishes before its kill, it is compared and a new run begins. After the last kill the run may finish.

    Raises:
        DataError: a run ended for another reason than its kill.
        StorageError: the folder is not empty.
    """
    RunDir.create(folder)
    began = time.monotonic()
    whole = folder / "undisturbed"
    _finish(_start(name, overrides, whole), whole)
    length, image = time.monotonic() - began, contents(whole)
    moments, done, run = random.Random(seed), 0, 0
    while done < kills:
        run, starts = run + 1, 0
        root = folder / f"run-{run}"
        while True:
            starts, began = starts + 1, time.monotonic()
            child = _start(name, overrides, root)
            if done < kills:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.wait(moments.uniform(0.0, length))
                if child.poll() is None:
                    done += 1
                    os.killpg(child.pid, signal.SIGKILL)
                    child.wait()
                    yield _seen(run, time.monotonic() - began, root)
                    continue
            _finish(child, root)
            break
        if starts == 1:  # the machine became faster: keep the kills within the run
            length = min(length, time.monotonic() - began)
        now = contents(root)
        yield Ended(run, starts, sorted(n for n in now.keys() | image.keys() if now.get(n) != image.get(n)))


def _start(name: str, overrides: Sequence[str], root: Path) -> subprocess.Popen[bytes]:
    """Start or resume a run as the leader of its own process group."""
    begun = (root / "environment.json").exists()
    words = ["resume", str(root)] if begun else ["run", name, *overrides, "--out", str(root)]
    cache = str(root.with_name(f"{root.name}.cache"))  # each run builds its own start model
    environment = {**os.environ, "SELFIMPROVE_CACHE": cache, MARK: f"{os.getpid()}-{root.name}-{secrets.token_hex(8)}"}
    with root.with_name(f"{root.name}.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "selfimprove", *words],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
            start_new_session=True,
        )


def _finish(child: subprocess.Popen[bytes], root: Path) -> None:
    code = child.wait()
    if code:
        log = root.with_name(f"{root.name}.log")
        lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
        raise DataError(f"{root} ended with exit code {code}: {lines[-1] if lines else 'no output'}; see {log}")


def _seen(run: int, after: float, root: Path) -> Kill:
    limit = time.monotonic() + SETTLE
    while (orphans := len(processes(f"{os.getpid()}-{root.name}-"))) and time.monotonic() < limit:
        time.sleep(0.05)
    partial = sorted(root.glob("round_*/.*.partial"))
    writing = " ".join((partial[-1].parent.name, partial[-1].name[1 : -len(".partial")])) if partial else "-"
    finished = len(list(root.glob(f"round_*/[!.]*/{MANIFEST}")))
    return Kill(run, after, finished, writing, orphans)


def processes(mark: str) -> list[int]:
    """The processes with this mark in their environment; empty on a system without /proc."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if f"{MARK}={mark}".encode() in path.read_bytes():
                found.append(int(path.parent.name))
    return found
