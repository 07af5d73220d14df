"""Run untrusted programs: `with open_sandbox() as sandbox: sandbox.run(Program(source, function="f", ...))`.

The trusted side. It enforces time limits, counts bytes, and treats all results as untrusted text. This module does not
know the expected answers, so they cannot leak into the process that runs the program.
"""

from __future__ import annotations

import contextlib
import queue
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from selfimprove.errors import EngineError
from selfimprove.safety.sandbox import values
from selfimprove.safety.sandbox.jail_process import Ended, Jail, JailLost, Limits, Outcome, Program, read_answers

RECYCLED = 1000
"""Executions after which a jail is replaced by a new one."""
LARGEST = 15 << 20
"""Bytes of the longest request."""


# ---- the pool ------------------------------------------------------------------------------------------------------
@dataclass
class Sandbox:
    """Warm jails, one for each processor core. `run` may be called from several threads."""

    tier: str
    limits: Limits
    workers: int
    _jails: queue.LifoQueue[Jail] = field(default_factory=queue.LifoQueue, repr=False)
    _testers: queue.LifoQueue[Jail] = field(default_factory=queue.LifoQueue, repr=False)
    """Jails for tests that call a program in another jail; as many again, so that no test waits for a second one."""
    _alone: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def start(self) -> None:
        """Start all jails at once and wait until they are ready.

        Raises:
            JailLost: a jail does not start.
        """
        jails = [Jail(self.tier, self.limits) for _ in range(self.workers)]
        for jail in jails:
            self._jails.put(jail)
        for jail in jails:
            jail.wait()

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End all jails."""
        for jails in (self._jails, self._testers):
            while not jails.empty():
                jails.get().close()

    def run(self, program: Program, alone: bool = False) -> Outcome:
        """Run a program.

        Args:
            alone: wait until nothing else runs in this sandbox, so that the program runs at full speed.

        Raises:
            EngineError: a jail broke and could not be replaced.
        """
        try:
            request = _request(program)
        except values.ValueRefused:
            return Outcome("error:arguments")
        if len(program.source) + len(program.stdin) > LARGEST:
            return Outcome("error:too_long")
        for _ in range(2):  # replace a lost jail once; if the program ends it twice, the program is to blame
            with contextlib.suppress(JailLost), self.alone() if alone else self.jail() as jail:
                jail.begin(request)
                return _outcome(jail.end(), program, self.limits)
        return Outcome("error:jail")

    def map(self, programs: Sequence[Program]) -> list[Outcome]:
        """Run many programs, as many at a time as there are jails."""
        if len(programs) < 2:
            return [self.run(program) for program in programs]
        with ThreadPoolExecutor(self.workers) as threads:
            return list(threads.map(self.run, programs))

    @contextlib.contextmanager
    def jail(self, tester: bool = False) -> Iterator[Jail]:
        """A free jail, for one program. It is replaced if it broke, before or afterwards, or has run enough programs.

        Args:
            tester: take a jail for tests.
        """
        jails = self._testers if tester else self._jails
        try:
            jail = jails.get(block=not tester)
        except queue.Empty:
            jail = self._start()
        try:
            try:
                jail.wait()
            except JailLost:
                jail = self._replace(jail)
            yield jail
        except BaseException:
            jail = self._replace(jail)
            raise
        else:
            if jail.executions >= RECYCLED:
                jail = self._replace(jail)
        finally:
            jails.put(jail)

    @contextlib.contextmanager
    def alone(self) -> Iterator[Jail]:
        """A jail while no other one runs anything."""
        with self._alone, contextlib.ExitStack() as stack:
            jails = [stack.enter_context(self.jail()) for _ in range(self.workers)]
            yield jails[0]

    def _replace(self, jail: Jail) -> Jail:
        jail.close()
        return self._start()

    def _start(self) -> Jail:
        fresh = Jail(self.tier, self.limits)
        try:
            fresh.wait()
        except JailLost as error:
            fresh.close()
            raise EngineError(f"the sandbox cannot be started again: {error}") from error
        return fresh


def _request(program: Program) -> dict[str, Any]:
    shared: dict[str, Any] = {"source": program.source, "imports": program.imports or None}
    if program.function is None:
        return {"mode": "stdin", **shared, "stdin": program.stdin}
    coded = [values.encode(list(arguments)) for arguments in program.arguments]
    return {"mode": "calls", **shared, "function": program.function, "arguments": coded}


def _outcome(ended: Ended, program: Program, limits: Limits) -> Outcome:
    """The outcome of a program from its end, read as untrusted text."""
    output = ended.output.decode(errors="replace")
    facts = {"output": output, "exit_code": ended.exit_code}
    facts |= {"cpu_seconds": ended.cpu_seconds, "seconds": ended.seconds, "asleep": ended.asleep}
    answers, failure = read_answers(ended.lines, len(program.arguments) if program.function else 0)
    name, text = failure or next(((answer.error, "") for answer in answers if answer.error), ("", ""))
    status = _status(ended, limits, name)
    if status == "ok" and program.function and len(answers) < len(program.arguments):
        status = "error:exit"
    return Outcome(status, tuple(answers), text=text, **facts)


def _signal(number: int) -> str:
    """The name of a signal; those for programs themselves have numbers only."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIGNAL{number}"


def _status(ended: Ended, limits: Limits, name: str) -> str:
    killed = -ended.exit_code == signal.SIGKILL
    if ended.over:
        return "output_limit"
    if ended.late or -ended.exit_code == signal.SIGXCPU or (killed and ended.cpu_seconds > limits.cpu_seconds - 0.1):
        return "timeout"
    if killed or name == "MemoryError":
        return "memory"
    if -ended.exit_code == signal.SIGSYS or name == "PermissionError":
        return "refused"
    if ended.exit_code < 0:
        return f"error:{_signal(-ended.exit_code)}"
    return f"error:{name}" if name else "ok"
