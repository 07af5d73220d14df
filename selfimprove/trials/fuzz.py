"""Hand spoiled inputs to a border: each is used or refused as the border promises, and nothing else ever happens.

A border is where something from a stranger comes in. Each has a module in `trials/borders/` with a `BORDER`; the name
of the module is that of the border. An input follows from the border's name, a seed and a number, so a failure is
repeated by these three.
"""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import os
import pkgutil
import random
import resource
import shutil
import signal
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from selfimprove.errors import UserError, of_machine
from selfimprove.safety.redaction import printable
from selfimprove.trials import borders

SECONDS = 10.0
"""Longest time that an input may take, on a machine that nothing else keeps busy; see `_patience`."""
MEGABYTES = 500
"""Memory that inputs may add to the process that reads them."""
LONGEST = 1500
"""Characters of the longest message of an error."""
SLICE = 500
"""Inputs that a process tries before the next border may use it."""
SHOWN = 3000
"""Characters of an input that a failure shows."""

Try = Callable[[random.Random], str]
"""Makes an input from the random numbers, hands it in, and says in a word how it ended; any exception is a failure."""


@dataclass(frozen=True, kw_only=True)
class Border:
    """A place where something from a stranger comes in."""

    promise: str
    """What `selftest` says that it tests."""
    open: Callable[[Path], AbstractContextManager[Try]]
    """What it takes to try inputs, such as a server; it may write in the folder."""
    in_memory: bool = False
    """Whether the folder may be in memory, in /dev, which is faster where an input has many folders."""
    in_ci: int = 300
    """Number of inputs that CI tries; fewer where an input starts a process or takes 50 ms."""


@dataclass
class Fuzzed:
    """What became of the inputs."""

    ended: Counter[str] = field(default_factory=Counter)
    """How many ended in each way."""
    wrong: list[str] = field(default_factory=list)
    """The failures, each with its input and a traceback."""
    slowest: float = 0.0
    """Seconds of the slowest input."""
    grown: float = 0.0
    """Megabytes that the process has grown by, at its peak."""

    def add(self, other: Fuzzed) -> None:
        """Count other inputs too."""
        self.ended += other.ended
        self.wrong += other.wrong
        self.slowest, self.grown = max(self.slowest, other.slowest), max(self.grown, other.grown)

    def __str__(self) -> str:
        ways = ", ".join(f"{count} {way}" for way, count in sorted(self.ended.items()))
        peaks = f"slowest {self.slowest:.2f} s, memory +{self.grown:.0f} MB"
        return f"{sum(self.ended.values())} ended well ({ways}), {len(self.wrong)} did not; {peaks}"


class TooSlow(BaseException):
    """An input took longer than `SECONDS`; no `except Exception` of the code under test hides it."""


def names() -> list[str]:
    """The borders, by name."""
    return sorted(module.name for module in pkgutil.iter_modules(borders.__path__))


def border(name: str) -> Border:
    """A border by its name."""
    return importlib.import_module(f"{borders.__name__}.{name}").BORDER


def fuzz(name: str, count: int, seed: int = 0, first: int = 0, minutes: float = 1e9) -> Fuzzed:
    """Hand in the inputs number `first` to `first + count - 1` of a seed, but begin none after so many minutes."""
    found, limit, tried = Fuzzed(), time.monotonic() + 60 * minutes, border(name)
    made = tempfile.TemporaryDirectory(prefix="selfimprove-fuzz-", dir=_in_memory() if tried.in_memory else None)
    with made as scratch, tried.open(Path(scratch)) as attempt:
        base = _peak()
        for number in range(first, first + count):
            began = time.monotonic()
            if began > limit:
                break
            try:
                with _clock():
                    found.ended[attempt(random.Random(f"{name}:{seed}:{number}"))] += 1
            except (Exception, TooSlow):
                found.wrong.append(f"{name} {seed}:{number}\n{traceback.format_exc()}")
            found.slowest = max(found.slowest, time.monotonic() - began)
        found.grown = _peak() - base
    if found.grown > MEGABYTES:
        found.wrong.append(f"{name} {seed}: the process grew by {found.grown:.0f} MB")
    return found


def fuzz_beside(name: str, count: int, seed: int = 0, workers: int = 1) -> Fuzzed:
    """The same inputs, `SLICE` at a time in several processes."""
    found = Fuzzed()
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        slices = [(min(SLICE, count - first), first) for first in range(0, count, SLICE)]
        for future in [pool.submit(fuzz, name, size, seed, first) for size, first in slices]:
            found.add(future.result())
    return found


def refused(error: Exception, codes: Sequence[int]) -> str:
    """How an input ended that was refused, by one line as the command line shows it.

    Raises:
        AssertionError: the code is not one of these, or the message is no short line that can be shown.
        Exception: the error, if it is a bug.
    """
    known = error if isinstance(error, UserError) else of_machine(error)
    if known is None:
        raise error
    message = str(known)
    assert known.code in codes, f"exit code {known.code}: {message}"
    assert len(message) <= LONGEST, f"a message of {len(message)} characters"
    assert printable(" ".join(message.split())), "an empty message"
    return f"refused with {known.code}"


@contextlib.contextmanager
def shown(given: Any) -> Iterator[None]:
    """A failure inside shows this input."""
    try:
        yield
    except BaseException as error:
        error.add_note(f"input: {given!r:.{SHOWN}}")
        raise


@contextlib.contextmanager
def _clock() -> Iterator[None]:
    """Interrupt what takes too long, in the main thread."""
    began = time.monotonic()

    def late(number: int, frame: FrameType | None) -> None:
        if (left := began + _patience() - time.monotonic()) > 0:
            signal.setitimer(signal.ITIMER_REAL, left)
        else:
            raise TooSlow(f"longer than {time.monotonic() - began:.0f} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _patience() -> float:
    """Seconds that an input may take now: more than SECONDS where more programs want to run than there are cores."""
    return SECONDS * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def _in_memory() -> str | None:
    """A folder in memory with room, where making a hundred folders takes no time; None: the usual place."""
    place = "/dev/shm"
    return place if os.access(place, os.W_OK) and shutil.disk_usage(place).free > 1 << 30 else None


def _peak() -> float:
    """The most memory that this process has had, in megabytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
