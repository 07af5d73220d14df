"""`progress.json`: what a run is doing right now, for whoever looks at its folder from outside.

It is written beside the steps, at most once a second, without fsync, and is a part of no step and no hash. The run
never depends on it: where it cannot be written, on a full disk or in a read-only folder, it is left out.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfimprove import foreign
from selfimprove.errors import DataError
from selfimprove.loop.clock import Clock

if TYPE_CHECKING:  # whoever only reads the file does without the interfaces
    from selfimprove.loop.watcher import Watcher

FILE = "progress.json"
EVERY = 1.0
"""Fewest seconds between two writes."""


class Progress:
    """A watcher that passes everything on, and writes the step and its count into the run folder.

    Args:
        whole: this process carries out the run, so the file goes with it; False for a process that a launcher
            started for one step.
    """

    def __init__(
        self, watcher: Watcher, root: Path, whole: bool = True, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.watcher, self.root, self._whole, self._clock = watcher, root, whole, clock
        self._written, self._ours = -EVERY, False
        self._rate = Clock()
        self._now: dict[str, Any] = {"pid": os.getpid(), "host": socket.gethostname()}
        self._silent = int(os.environ.get("RANK", "0")) > 0  # processes that train together have one voice

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._whole and self._ours:
            with contextlib.suppress(OSError):
                (self.root / FILE).unlink()

    def step(self, number: int, stage: str) -> None:
        """A step begins."""
        self.watcher.step(number, stage)
        self._rate = Clock()
        self._now |= {"round": number, "stage": stage, "done": 0, "total": 0, "unit": "", "rate": 0.0}
        self._write()

    def progress(self, done: int, total: int, unit: str = "") -> None:
        """The step has finished `done` of `total` units."""
        self.watcher.progress(done, total, unit)
        rate = self._rate.rate(done, unit, self._clock())
        self._now |= {"done": done, "total": total, "unit": unit, "rate": round(rate, 3)}
        self._write()

    def metric(self, name: str, value: float) -> None:
        """A metric of the step."""
        self.watcher.metric(name, value)

    def note(self, text: str) -> None:
        """A note for the user."""
        self.watcher.note(text)

    def goal(self, rounds: int) -> None:
        """The run goes to this many rounds."""
        self.watcher.goal(rounds)

    def round(self, line: dict[str, Any]) -> None:
        """A round is finished."""
        self._ours = True  # the lock is held, so what an earlier process left may go too
        self.watcher.round(line)

    def confirmation(self, line: dict[str, Any]) -> None:
        """A test after the last round is finished."""
        self.watcher.confirmation(line)

    def _write(self) -> None:
        """Replace the file, unless it was replaced less than a second ago."""
        now = self._clock()
        if self._silent or "stage" not in self._now or now - self._written < EVERY:
            return
        self._written, self._ours = now, True
        fresh = self.root / f".{FILE}.new"
        with contextlib.suppress(OSError):
            fresh.unlink(missing_ok=True)  # of a process that was killed, or planted by a stranger
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            handle = os.open(fresh, flags, 0o644)
            try:
                os.write(handle, json.dumps({**self._now, "time": round(time.time(), 3)}).encode())
            finally:
                os.close(handle)
            fresh.replace(self.root / FILE)


def read(root: Path) -> dict[str, Any]:
    """What a run last said it was doing; {} if it says nothing, or nothing that can be read."""
    kinds = {"pid": int, "host": str, "round": int, "stage": str, "done": int, "total": int, "unit": str}
    try:
        said = foreign.json_in(root / FILE, most=10_000)
        numbers = all(isinstance(said[name], int | float) for name in ("rate", "time"))
        return said if numbers and all(type(said[name]) is kind for name, kind in kinds.items()) else {}
    except (OSError, DataError, LookupError, TypeError):
        return {}
