"""The client of a jail process: starts it, sends requests, ends it."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfimprove.safety.sandbox import values

_START = 20.0
_GRACE = 1.0
THREADS = 64
"""Threads of a program; the limit is a little higher, because it counts the jail's own processes as well."""
_HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Limits:
    """The limits of one execution."""

    cpu_seconds: int = 2
    """CPU time in seconds; the limit of wall time is twice as long."""
    memory: int = 512 << 20
    """Bytes of address space."""
    output: int = 1 << 20
    """Most bytes of answers and output."""
    files: bool = False
    """Whether a program starts in the folder for temporary files, and so may write where it is (tier A only)."""


@dataclass(frozen=True)
class Program:
    """A program, and what to do with it: call a function, or run it as a script on some input."""

    source: str
    function: str | None = None
    """The function to call; `Solution.solve` is a method of a class that is made without arguments."""
    arguments: Sequence[Sequence[Any]] = ()
    """The arguments of each call; all calls are made in one process, in this order."""
    stdin: str = ""
    """Without a function: the standard input of the script."""
    imports: str = ""
    """What stands in front of the program, as a program of its own in the same module."""


@dataclass(frozen=True)
class Answer:
    """The result of one call."""

    value: Any = None
    error: str = ""
    """The type of the exception that ended it; "" if it returned a value."""


@dataclass(frozen=True)
class Outcome:
    """The outcome of a program."""

    status: str
    """`ok`, `error:<type>`, `timeout`, `memory`, `output_limit` or `refused` (by the jail)."""
    answers: tuple[Answer, ...] = ()
    """One for each finished call, in order."""
    output: str = ""
    """Its standard output."""
    text: str = ""
    """The message of the exception; untrusted text."""
    exit_code: int = 0
    """For information only, since the program chooses it. Negative: the signal that ended it."""
    cpu_seconds: float = 0.0
    seconds: float = 0.0
    asleep: float = 0.0
    """Seconds in which it did not compute, as far as that is known before it ends."""


class JailLost(Exception):
    """A jail stopped answering, or did not start."""


@dataclass(frozen=True)
class Ended:
    """The data of a program after its process ended."""

    lines: list[bytes]
    output: bytes
    over: bool
    """Whether it was stopped because it sent too much."""
    late: bool
    exit_code: int
    cpu_seconds: float
    seconds: float
    asleep: float


# ---- one jail ------------------------------------------------------------------------------------------------------
class Jail:
    """A jail and the pipes to it. One program at a time."""

    def __init__(self, tier: str, limits: Limits) -> None:
        self.tier, self.limits, self.executions, self._ready = tier, limits, 0, False
        control, request, answers, output, status = pipes = [os.pipe() for _ in range(5)]
        self._control, self._request = control[1], request[1]
        self._answers, self._output, self._status = answers[0], output[0], status[0]
        self._open = [self._control, self._request, self._answers, self._output, self._status]
        theirs = {"control": control[0], "request": request[0]}
        theirs |= {"answers": answers[1], "output": output[1], "status": status[1]}
        settings = {
            **theirs,
            "tier": tier,
            "runner": os.getpid(),
            "cpu": limits.cpu_seconds,
            "wall": 2.0 * limits.cpu_seconds,
            "memory": limits.memory,
            "processes": THREADS + 8 if tier == "A" or os.geteuid() == 0 else None,  # else all of the user's count
            "own": str(_HERE.parents[2]),
            "files": limits.files,
        }
        self._process = subprocess.Popen(
            [os.path.realpath(sys.executable), "-s", "-P", "-S", str(_HERE / "start_jail.py"), json.dumps(settings)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=list(theirs.values()),
            cwd="/",
            env={
                "PYTHONHASHSEED": "0",
                "PYTHONUTF8": "1",
                "PYTHONDONTWRITEBYTECODE": "1",
                "MALLOC_ARENA_MAX": "1",  # each further one takes 64 MB of address space
            },
            start_new_session=True,
        )
        for descriptor in theirs.values():
            os.close(descriptor)
        for _, descriptor in pipes[:2]:
            os.set_blocking(descriptor, False)
        for descriptor, _ in pipes[2:]:
            os.set_blocking(descriptor, False)

    def wait(self) -> None:
        """Wait until a child is ready in the jail.

        Raises:
            JailLost: no child gets ready; the message says why.
        """
        if self._ready:
            return
        self._begin(b"", _START)
        self._pump(lambda: False)
        message, self._ended = self._ended, None
        if not message or "ready" not in message:
            raise JailLost((message or {}).get("failed", "the jail did not start"))
        self._ready = True

    def begin(self, request: dict[str, Any]) -> None:
        """Send a request to the waiting child and start the clock."""
        payload = json.dumps(request).encode()
        self.wait()
        self._ready, self.executions = False, self.executions + 1
        self._begin(len(payload).to_bytes(4, "big") + payload, 2 * self.limits.cpu_seconds + _GRACE)
        self._tell(b"g")

    def send(self, message: Any) -> None:
        """Send one more line of JSON to the running program."""
        self._pending += json.dumps(message).encode() + b"\n"

    def line(self) -> bytes | None:
        """The next line of the program's answers; None: there are no more."""
        self._pump(lambda: self._answered.find(b"\n", self._taken) >= 0)
        end = self._answered.find(b"\n", self._taken)
        if end < 0:
            return None
        line, self._taken = bytes(self._answered[self._taken : end]), end + 1
        return line.removeprefix(b"R")

    def end(self, stop: bool = False) -> Ended:
        """Wait for the program's end.

        Args:
            stop: end it now.

        Raises:
            JailLost: the jail does not report the end.
        """
        if stop and not self._ended:
            self._tell(b"k")
        self._pump(lambda: False)
        if self._ended is None or "exit" not in self._ended:
            raise JailLost("the jail does not answer")
        for descriptor, read in ((self._answers, self._answered), (self._output, self._printed)):
            while self._read(descriptor, read):  # leave nothing for the next program
                pass
        ended, (first, *lines) = self._ended, bytes(self._answered).split(b"\n")
        if not first.startswith(b"R"):
            raise JailLost("the jail is broken")
        self._tell(b"c")
        lines = [first[1:], *lines][:-1]  # text after the last newline is not a line
        how = ended["late"], ended["exit"], ended["cpu"], ended["wall"], ended["asleep"]
        return Ended(lines, bytes(self._printed), self._over, *how)

    def close(self) -> None:
        """End the jail and all processes in it."""
        self._process.kill()
        self._process.wait()
        while self._open:
            os.close(self._open.pop())

    def _begin(self, pending: bytes, seconds: float) -> None:
        self._pending, self._deadline = bytearray(pending), time.monotonic() + seconds
        self._answered, self._printed, self._said = bytearray(), bytearray(), bytearray()
        self._taken, self._over = 0, False
        self._ended: dict[str, Any] | None = None

    def _tell(self, word: bytes) -> None:
        try:
            os.write(self._control, word)
        except OSError as error:
            raise JailLost("the jail is gone") from error

    def _pump(self, enough: Callable[[], bool]) -> None:
        """Transfer bytes until there are enough, the program has ended or the time is up."""
        poll = select.poll()
        for descriptor in (self._answers, self._output, self._status):
            poll.register(descriptor, select.POLLIN)
        writing = False
        while self._ended is None and not enough():
            if bool(self._pending) != writing:
                writing = not writing
                poll.register(self._request, select.POLLOUT) if writing else poll.unregister(self._request)
            left = self._deadline - time.monotonic()
            found = dict(poll.poll(max(0.0, left) * 1000))
            if not found:
                return
            if found.get(self._request, 0) & select.POLLERR:
                return
            if self._request in found:
                with contextlib.suppress(BlockingIOError):
                    del self._pending[: os.write(self._request, self._pending[: 1 << 16])]
            over = self._answers in found and self._read(self._answers, self._answered)
            over |= self._output in found and self._read(self._output, self._printed)
            if over and not self._over:
                self._over = True
                self._tell(b"k")
            if self._status in found:
                self._read(self._status, self._said)
                if not self._said:
                    return  # the jail is gone
                if self._said.endswith(b"\n"):
                    self._ended = json.loads(self._said)

    def _read(self, descriptor: int, into: bytearray) -> bool:
        """Read the available data and drop what exceeds the limit; returns whether something was dropped."""
        over = False
        with contextlib.suppress(BlockingIOError):
            while part := os.read(descriptor, 1 << 16):
                into += part
                over = over or len(into) > self.limits.output
                del into[self.limits.output :]
                if over:
                    break
        return over


def read_answers(lines: Sequence[bytes], wanted: int) -> tuple[list[Answer], tuple[str, str] | None]:
    """The answers to `wanted` calls, and the failure of the whole program as (type, text).

    Unexpected lines, or lines that are not answers, invalidate all of them.
    """
    answers = list[Answer]()
    for place, line in enumerate(lines):
        try:
            message = values.loads(line)
            if not isinstance(message, dict):
                raise values.ValueRefused("not an answer")
            if "failed" in message and place == len(lines) - 1:
                return answers, (printable(message["failed"]), printable(message.get("text", ""), 500))
            if len(answers) == wanted or len(message.keys() & {"value", "error"}) != 1:
                raise values.ValueRefused("not an answer")
            known = "value" in message
            answers.append(
                Answer(values.decode(message["value"])) if known else Answer(error=printable(message["error"]))
            )
        except values.ValueRefused:
            return [], ("answers", "the program did not give one answer to each call")
    return answers, None


def printable(text: Any, longest: int = 80) -> str:
    """Untrusted text as one printable line; anything but text is unknown."""
    line = text[:longest] if isinstance(text, str) else ""
    return "".join(c if c.isprintable() else " " for c in line) or "unknown"
