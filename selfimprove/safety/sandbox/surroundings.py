"""What a program finds around it, as a script in a process of its own would: streams, its file, threads, a folder.

All of this is for honest programs. Nothing here confines: a program may undo every change. Standard library only.
"""

from __future__ import annotations

import _multiprocessing
import _thread
import builtins
import functools
import io
import linecache
import os
import random
import resource
import sys
import tempfile
import threading
import types
from collections.abc import Callable
from typing import Any

NAME = "program.py"
STACK = 4 << 20
"""Bytes of a thread's stack where the program asks for no size, so that 64 threads fit into the memory limit."""
_LARGEST = 64 << 20
"""Bytes of the largest stack. Programs ask for 512 MB out of habit; calls of Python functions use no C stack."""
_STREAMS = {
    place: number
    for number, name in enumerate(("stdin", "stdout", "stderr"))
    for place in (f"/dev/{name}", f"/dev/fd/{number}", f"/proc/self/fd/{number}")
}


def furnish(scratch: str | None) -> None:
    """Once in the process that children are forked from.

    Args:
        scratch: the folder for temporary files, if there is one.
    """
    tempfile.tempdir = scratch
    sys.argv, sys.orig_argv = [NAME], ["python", NAME]
    builtins.__dict__.update(exit=sys.exit, quit=sys.exit)  # as the module `site` would have done
    _stacks()
    _named_streams()
    _multiprocessing.SemLock = Semaphore  # type: ignore[assignment,misc]


def streams() -> None:
    """Once in that process, when its streams are of the kinds that a child's are: the objects for them, and the chance
    that each child begins with."""
    random.seed(0)
    sys.stdin, sys.stdout, sys.stderr = (
        os.fdopen(descriptor, mode, encoding="utf-8", errors=errors, closefd=False)
        for descriptor, (mode, errors) in enumerate((("r", "strict"), ("w", "strict"), ("w", "backslashreplace")))
    )
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr


def module(name: str, source: str = "") -> types.ModuleType:
    """A module for a program, whose source `inspect` and tracebacks find."""
    made = types.ModuleType(name)
    made.__file__ = NAME
    sys.modules[name] = made
    linecache.cache[NAME] = (len(source), None, source.splitlines(keepends=True), NAME)
    return made


class Semaphore:
    """The semaphore of `multiprocessing`, for a program that is one process: its pools of threads take one, and the
    system's own needs a folder in memory that all processes share."""

    SEM_VALUE_MAX = 2**31 - 1

    def __init__(self, kind: int, value: int, maxvalue: int, name: str, unlink: bool) -> None:
        self.kind, self.maxvalue, self.handle, self.name = kind, maxvalue, 0, None
        self._value, self._owner, self._held = value, 0, 0
        self._changed = threading.Condition(threading.Lock())

    def acquire(self, block: bool = True, timeout: float | None = None) -> bool:
        with self._changed:
            if not (self.kind == 0 and self._is_mine()):  # kind 0 may be taken again by the thread that has it
                wait = max(0.0, timeout) if block and timeout is not None else None if block else 0.0
                if not self._changed.wait_for(lambda: self._value > 0, wait):
                    return False
                self._value -= 1
            self._owner, self._held = threading.get_ident(), self._held + 1
            return True

    __enter__ = acquire

    def release(self) -> None:
        with self._changed:
            if self.kind == 0 and not self._is_mine():
                raise AssertionError("attempt to release recursive lock not owned by thread")
            if self.kind != 0 and self._value >= self.maxvalue:
                raise ValueError("semaphore or lock released too many times")
            self._held -= 1
            if self.kind != 0 or not self._held:
                self._value += 1
                self._changed.notify()

    def __exit__(self, *_: object) -> None:
        self.release()

    def _count(self) -> int:
        return self._held

    def _is_mine(self) -> bool:
        return self._held > 0 and self._owner == threading.get_ident()

    def _get_value(self) -> int:
        return self._value

    def _is_zero(self) -> bool:
        return self._value == 0

    def _after_fork(self) -> None:
        self._held = 0


def _stacks() -> None:
    """Bound the stacks of threads, and let a program ask for a larger one of the main thread in vain."""
    real, told = _thread.stack_size, [0]

    @functools.wraps(real)
    def stack_size(size: int = 0, /) -> int:
        real(min(size, _LARGEST) or STACK)  # raises what it raises for a size that is too small
        before, told[0] = told[0], size
        return before

    real(STACK)
    threading.stack_size = _thread.stack_size = stack_size
    limit = resource.setrlimit

    @functools.wraps(limit)
    def setrlimit(kind: int, limits: tuple[int, int]) -> None:
        if kind != resource.RLIMIT_STACK:  # that of the main thread is as large as it may be
            limit(kind, limits)

    resource.setrlimit = setrlimit


def _named_streams() -> None:
    """Let `open("/dev/stdin")` open the standard input again: /proc is missing, or its files are another user's."""

    def named(real: Callable[..., Any], again: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(real)
        def open(file: Any, *arguments: Any, **options: Any) -> Any:
            place = os.fspath(file) if isinstance(file, os.PathLike) else file
            number = _STREAMS.get(place) if isinstance(place, str) else None
            return real(file, *arguments, **options) if number is None else again(number, *arguments, **options)

        return open

    plain = builtins.open
    builtins.open = io.open = named(plain, lambda number, *rest, **options: plain(os.dup(number), *rest, **options))
    os.open = named(os.open, lambda number, *_, **__: os.dup(number))
