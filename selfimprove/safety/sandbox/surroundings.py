"""What a program finds around it, as a script in a process of its own would: streams, its file, threads, a folder.

All of this is for honest programs. Nothing here confines: a program may undo every change. Standard library only.
"""

from __future__ import annotations

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
