"""Test the promises about runs on this machine: `selfimprove selftest`."""

from __future__ import annotations

import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from selfimprove.errors import BusyError
from selfimprove.store import failpoints
from selfimprove.store.run_folder import RunDir
from selfimprove.trials import fuzz, sweep
from selfimprove.trials.rehearsal import Rehearsal, rehearse

MEMORY = Path("/dev/shm")
"""Folder for the rehearsals, if it exists: a simulated power cut needs no disk and is faster in memory."""
PROMISES = {
    "kill": "killed at any moment: no finished step is lost, the run ends with the same bytes",
    "power": "power cut that loses what was not fsynced: no step lost, same bytes",
    "torn": "power cut that keeps names and tears data: no step lost, same bytes",
    "eio": "one device error: exit code 74, then no step lost, same bytes",
    "enospc": "no space once: exit code 74, then no step lost, same bytes",
    "eio+": "permanent device errors: exit code 74, then no step lost, same bytes",
    "enospc+": "a disk that stays full: exit code 74, then no step lost, same bytes",
}


@dataclass(frozen=True)
class Result:
    """One promise."""

    promise: str
    tried: str
    failed: list[str]
    seconds: float


def selftest(full: bool = False, share: int | None = None, jobs: int = 2) -> Iterator[Result]:
    """Test every promise: at every point, at those of a share, or at a few points in about half a minute."""
    place = MEMORY if os.access(MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=place) as folder, rehearse(Path(folder)) as given:
        points, damaged = _chosen(given, full, share)
        for row in sweep.sweep(given, failpoints.KINDS, points, jobs):
            failed = row.wrong + [f"{row.redone} finished steps were repeated"] * bool(row.redone)
            tried = f"{row.points} of {len(given.operations)} durable operations, {row.resumed} new states"
            yield Result(PROMISES[row.kind], tried, failed, row.seconds)
        yield _timed(
            "a damaged file is found: refused, or its step or file made again", lambda: _damages(given, damaged, jobs)
        )
        yield _timed("one process at a time works on a run, and no lock is left behind", lambda: lock(given, full))
    yield _timed("a program from the model cannot reach files, this project, network or processes", _sandbox)
    for name in fuzz.names():
        yield _timed(fuzz.border(name).promise, lambda name=name: _border(name, full, share))


def _chosen(given: Rehearsal, full: bool, share: int | None) -> tuple[list[int], list[tuple[str, str]]]:
    """The fault points and the damages to test."""
    if share is not None:
        return sweep.share_of_points(given, share), sweep.share_of_cases(given, share)
    every = list(range(len(given.operations)))
    return (every, sweep.cases(given)) if full else (every[::97], sweep.cases(given)[::61])


def _timed(promise: str, work: Callable[[], tuple[str, list[str]]]) -> Result:
    began = time.monotonic()
    tried, failed = work()
    return Result(promise, tried, failed, time.monotonic() - began)


def _damages(given: Rehearsal, chosen: list[tuple[str, str]], jobs: int) -> tuple[str, list[str]]:
    found = list(sweep.damages(given, chosen, jobs))
    ended = Counter(one.ended for one in found)
    tried = f"{len(found)} damages: {', '.join(f'{count} {name}' for name, count in sorted(ended.items()))}"
    return tried, [f"{one.damage} of {one.file}: {one.said or 'used as it was'}" for one in found if not one.held]


def _sandbox() -> tuple[str, list[str]]:
    """Start the sandbox as a run does, with its self-test of attacks. If it does not start, runs refuse such tasks."""
    from selfimprove.errors import EngineError
    from selfimprove.safety.sandbox.open import open_sandbox

    try:
        with open_sandbox(workers=1) as opened:
            return f"its attacks, tier {opened.tier}", []
    except EngineError as error:
        return f"not available, so programs are not run: {error}", []


def _border(name: str, full: bool, share: int | None) -> tuple[str, list[str]]:
    """Hand spoiled inputs to a border: as many as CI does, or a tenth."""
    most = fuzz.border(name).in_ci
    found = fuzz.fuzz(name, most if full or share is not None else most // 10, share or 0)
    return f"{sum(found.ended.values())} inputs, slowest {found.slowest:.1f} s", found.wrong


def lock(given: Rehearsal, full: bool) -> tuple[str, list[str]]:
    """Two processes take the lock of a run repeatedly; the holder detects if the other one is inside as well."""
    rounds = 1000 if full else 50
    folder, inside = RunDir(given.whole), given.scratch / "inside"

    def work() -> None:
        had = 0
        while had < rounds:
            try:
                with folder.lock():
                    handle = os.open(inside, os.O_CREAT | os.O_EXCL)  # fails if the other process is inside
                    os.close(handle)
                    inside.unlink()
                    had += 1
            except BusyError:
                os.sched_yield()

    readers = []
    for _ in range(2):
        child = os.fork()
        if child == 0:
            try:
                work()
                os._exit(0)
            except BaseException:
                os._exit(1)
        readers.append(child)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in readers]
    return f"2 processes, {rounds} starts each", ["two writers at once"] * any(codes)
