"""Stop a run by signals.

SIGINT, SIGTERM, SIGHUP and SIGUSR1 end a run at the next safe point: between steps, or where a step reports progress. A
step that reports no progress for a while is interrupted, which loses no finished work; a second signal interrupts at
once. Training that can save a checkpoint gets more time, because its steps may be slow.
A closed terminal or a reader that exits (`| head -1`) only ends the output, see `cli/streams.py`.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

from selfimprove import training
from selfimprove.loop.watcher import Watcher

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
AGAIN = signal.SIGUSR2
"""The signal from the process that launched this one as a step; after another signal it has no effect."""
GRACE = 1.0
"""Seconds until a step without a safe point is interrupted."""
PATIENCE = 20.0
"""Seconds until training that saves a checkpoint at its next step is interrupted; preemption usually leaves at least
30."""
SHOW_CURSOR = b"\x1b[?25h"


class Stopped(KeyboardInterrupt):
    """A signal ended the run."""

    def __init__(self, number: int) -> None:
        self.code = 130 if number == signal.SIGINT else 143
        """The exit code."""


class Stopping:
    """Passes on the output of a run, and ends the run at a safe point after a signal."""

    def __init__(self, watcher: Watcher, told: Callable[[], None] = lambda: None, kept: str = "") -> None:
        """Watch for signals.

        Args:
            told: called in the signal handler, at the first signal.
            kept: what a second signal says, before it ends the process at once.
        """
        self.watcher, self._told, self._kept = watcher, told, kept
        self.number = 0
        """The received signal; 0 for none."""
        self._before: dict[int, Any] = {}
        self._waited = False

    def __enter__(self) -> Stopping:
        self._terminal = _terminal()
        for number in (*SIGNALS, AGAIN):
            if signal.getsignal(number) != signal.SIG_IGN:  # nohup stays in force
                self._before[number] = signal.signal(number, self._asked)
        self._before[signal.SIGALRM] = signal.signal(signal.SIGALRM, self._late)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None):
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def check(self) -> None:
        """End the run here after a signal."""
        if self.number:
            signal.setitimer(signal.ITIMER_REAL, 0)
            raise Stopped(self.number)

    def step(self, number: int, stage: str) -> None:
        """A step begins."""
        self.check()
        self.watcher.step(number, stage)

    def progress(self, done: int, total: int, unit: str = "") -> None:
        """Progress of the step."""
        self.check()
        self.watcher.progress(done, total, unit)

    def metric(self, name: str, value: float) -> None:
        """A metric of the step."""
        self.watcher.metric(name, value)

    def note(self, text: str) -> None:
        """A note for the user."""
        self.watcher.note(text)

    def goal(self, rounds: int) -> None:
        """How many rounds the run goes to."""
        self.watcher.goal(rounds)

    def round(self, line: dict[str, Any]) -> None:
        """A round is finished."""
        self.watcher.round(line)
        self.check()

    def confirmation(self, line: dict[str, Any]) -> None:
        """A test after the last round is finished."""
        self.watcher.confirmation(line)
        self.check()

    def _asked(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGHUP and self._terminal and not _terminal():
            return  # the terminal is gone
        if self.number and number == AGAIN:
            return
        if self.number:
            if sys.stderr is not None and sys.stderr.isatty():
                os.write(2, SHOW_CURSOR)
            if self._kept:
                with contextlib.suppress(OSError):  # nobody listens
                    os.write(2, f"\n{self._kept}\n".encode())
            os._exit(Stopped(number).code)
        self.number = number
        self._told()
        signal.setitimer(signal.ITIMER_REAL, GRACE)

    def _late(self, number: int, frame: FrameType | None) -> None:
        if training.saves_soon() and not self._waited:
            self._waited = True
            signal.setitimer(signal.ITIMER_REAL, PATIENCE - GRACE)
        else:
            self.check()


def _terminal() -> bool:
    """Whether this process has a terminal."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


def end_with_parent() -> None:
    """Let the kernel end this process when its parent dies, for whatever reason. Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # 1 is PR_SET_PDEATHSIG
