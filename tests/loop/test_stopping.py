"""Signals end a run at a safe point and soon; a lost terminal or reader does not end it."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from selfimprove.cli import streams
from selfimprove.loop import stopping
from selfimprove.loop.stopping import Stopped, Stopping


class Shown:
    """Notes what it was told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def step(self, number: int, stage: str) -> None:
        self.told.append("step")

    def progress(self, done: int, total: int, unit: str = "") -> None:
        self.told.append("progress")

    def metric(self, name: str, value: float) -> None:
        self.told.append("metric")

    def note(self, text: str) -> None:
        self.told.append("note")

    def goal(self, rounds: int) -> None:
        self.told.append("goal")

    def round(self, line: dict[str, Any]) -> None:
        self.told.append("round")

    def confirmation(self, line: dict[str, Any]) -> None:
        self.told.append("confirmation")


def child(work: Callable[[Stopping], object], kept: str = "", err: int = 2) -> int:
    """Do something in a fork, as the command line does; returns its process once it has begun."""
    read, write = os.pipe()
    process = os.fork()
    if process == 0:
        code = 1
        for number in stopping.SIGNALS:  # whoever started the tests may ignore some of them, as nohup does
            signal.signal(number, signal.SIG_DFL)
        try:
            os.dup2(err, 2)
            with Stopping(Shown(), kept=kept) as watcher:
                os.write(write, b".")
                work(watcher)
            code = 0
        except Stopped as stopped:
            code = stopped.code
        finally:
            os._exit(code)
    os.close(write)
    os.read(read, 1)
    os.close(read)
    return process


def ended(process: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def steady(watcher: Stopping) -> None:
    while True:
        time.sleep(0.01)
        watcher.progress(1, 2)


def silent(watcher: Stopping) -> None:
    while True:
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 143), (signal.SIGUSR1, 143), (signal.SIGINT, 130)]
)
def test_a_signal_ends_the_run_at_its_next_safe_point(number: int, code: int) -> None:
    process = child(steady)
    began = time.monotonic()
    os.kill(process, number)
    assert ended(process) == code and time.monotonic() - began < stopping.GRACE


def test_a_step_without_a_safe_point_is_broken_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stopping, "GRACE", 0.3)
    process = child(silent)
    began = time.monotonic()
    os.kill(process, signal.SIGTERM)
    assert ended(process) == 143 and 0.3 <= time.monotonic() - began < 3


@pytest.mark.long
def test_a_training_that_will_save_itself_has_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stopping, "GRACE", 0.1)
    monkeypatch.setattr(stopping, "PATIENCE", 0.8)
    monkeypatch.setattr(stopping.training, "saves_soon", lambda: True)

    def slow(watcher: Stopping) -> None:
        time.sleep(0.5)
        watcher.progress(1, 2)

    for work, shortest, longest in ((slow, 0.3, 0.75), (silent, 0.8, 3.0)):
        process = child(work)
        began = time.monotonic()
        os.kill(process, signal.SIGTERM)
        assert ended(process) == 143 and shortest <= time.monotonic() - began < longest


def test_what_the_launching_process_says_is_no_second_signal() -> None:
    for first in (signal.SIGINT, stopping.AGAIN):
        with Stopping(Shown()) as watcher:
            signal.raise_signal(first)
            signal.raise_signal(stopping.AGAIN)
            with pytest.raises(Stopped) as stopped:
                watcher.check()
        assert stopped.value.code == (130 if first == signal.SIGINT else 143)


def test_a_second_signal_ends_it_at_once_and_says_what_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stopping, "GRACE", 60)
    read, err = os.pipe()
    process = child(silent, "finished steps are kept", err)
    os.close(err)
    for _ in range(2):
        os.kill(process, signal.SIGTERM)
        time.sleep(0.1)
    assert ended(process) == 143 and os.read(read, 100) == b"\nfinished steps are kept\n"
    os.close(read)


def test_the_first_signal_is_told_at_once() -> None:
    told = list[str]()
    with Stopping(Shown(), told=lambda: told.append("told")) as watcher:
        signal.raise_signal(signal.SIGINT)
        assert told == ["told"]
        with pytest.raises(Stopped):
            watcher.check()


def test_between_two_steps_a_signal_counts_and_in_a_commit_it_waits() -> None:
    shown, before = Shown(), signal.getsignal(signal.SIGTERM)
    with Stopping(shown) as watcher:
        watcher.step(1, "gate")
        signal.raise_signal(signal.SIGTERM)
        watcher.metric("x", 1.0)
        watcher.note("still here")
        with pytest.raises(Stopped) as stopped:
            watcher.step(1, "controller")
    assert shown.told == ["step", "metric", "note"] and stopped.value.code == 143
    assert signal.getsignal(signal.SIGTERM) is before and signal.getitimer(signal.ITIMER_REAL)[0] == 0


def test_nohup_stays_in_force(monkeypatch: pytest.MonkeyPatch) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Stopping(Shown()) as watcher:
            signal.raise_signal(signal.SIGHUP)
            watcher.check()
    finally:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.mark.long
def test_a_terminal_that_goes_away_does_not_end_the_run_but_a_hangup_on_request_does(tmp_path: Path) -> None:
    for lost in (True, False):
        process, master = pty.fork()
        if process == 0:  # the leader of a session with a terminal
            code = 1
            try:
                sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
                streams.opened(lasting=True)
                with Stopping(Shown()) as watcher:
                    print("begun", flush=True)
                    for _ in range(100):
                        time.sleep(0.01)
                        print("going on", flush=True)
                        watcher.progress(1, 2)
                code = 0
            except Stopped as stopped:
                code = stopped.code
            finally:
                os._exit(code)
        os.read(master, 5)
        if lost:
            os.close(master)
        else:
            os.kill(process, signal.SIGHUP)
        assert ended(process) == (0 if lost else 143)


@pytest.mark.skipif(sys.platform != "linux", reason="prctl")
def test_a_step_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    program = (
        "import os, time\n"
        "from selfimprove.loop.stopping import end_with_parent\n"
        f"end_with_parent(); open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(60)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", f"import subprocess, sys; subprocess.run([sys.executable, '-c', {program!r}])"]
    )
    limit = time.monotonic() + 30
    while not ((tmp_path / "pid").exists() and (tmp_path / "pid").read_text()) and time.monotonic() < limit:
        time.sleep(0.05)
    step = int((tmp_path / "pid").read_text())
    parent.kill()
    parent.wait()
    while (Path("/proc") / str(step)).exists() and "Z" not in (Path("/proc") / str(step) / "stat").read_text():
        assert time.monotonic() < limit
        time.sleep(0.02)
