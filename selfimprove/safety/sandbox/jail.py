"""The jail: a process that waits, confined, and forks one child for each program. Standard library only.

`main` is started by `runner` as a program of its own and becomes three processes:

    keeper   makes the namespaces, drops its rights, waits, and ends the server when the runner ends
    server   forks children, enforces deadlines, kills; it never reads a program, an input or an output
    child    forked and confined before it gets its program; reads one request, runs it, ends

A child gets its request from the runner and answers to it through pipes that the server only holds open for the next
child. So nothing of one program is in memory when the next one is forked.

What an execution costs is mostly memory that the kernel copies: each page that a child writes to, and Python writes to
every object that it looks at. So what is the same for all children is done in the server, once.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import json
import os
import select
import signal
import sys
import sysconfig
import time
import types
from typing import NoReturn

from selfimprove.safety.sandbox import candidate, kernel, surroundings
from selfimprove.safety.sandbox.library import Library, library

SCRATCH = "/scratch"
"""The folder for temporary files, in tier A."""
TICK, AWAKE = 0.1, 0.002
"""Seconds between two looks at a child, and the computing time in between from which on it is not asleep."""
_PRELOADED = """
    array bisect calendar cmath collections collections.abc contextlib copy dataclasses datetime decimal enum
    fractions functools hashlib heapq inspect itertools math numbers operator queue random re statistics string
    struct textwrap traceback types typing unicodedata
"""
_NAMESPACES, _NO_NAMESPACES = "A", "B"


def main(arguments: list[str]) -> None:
    """The keeper. Says "ready" on the status pipe, or why the jail cannot be."""
    settings = json.loads(arguments[0])
    status = settings["status"]
    try:
        kernel.check()
        for name in _PRELOADED.split():
            __import__(name)
        files, scratch = library(settings["own"]), SCRATCH if settings["tier"] == _NAMESPACES else None
        _forget(files)
        runner = os.pidfd_open(os.getppid())
        if os.getppid() != settings["runner"]:
            os._exit(1)
        root = os.geteuid() == 0
        uid = kernel.unused_uid() if root else None
        if settings["tier"] == _NAMESPACES:
            kernel.leave(user=not (root and _may_mount()))
            kernel.new_root(files.shown, files.hidden, scratch, os.getuid() if uid is None else uid)
        os.chdir(SCRATCH if settings["files"] else "/")
        kernel.drop(uid)
        surroundings.furnish(scratch)
        keeper = os.getpid()
        server = os.fork()
        if not server:
            kernel.die_with(keeper)
            os.close(runner)
            _serve(settings, kernel.landlock(files.readable, scratch), scratch)
        for descriptor in (settings["control"], settings["request"], settings["answers"], settings["output"], status):
            os.close(descriptor)
        _wait(runner, server)
    except OSError as error:
        _say(status, {"failed": f"{error.strerror or error} {error.filename or ''}".strip()})
    os._exit(1)


def _wait(runner: int, server: int) -> NoReturn:
    """Until the server ends, or until the runner does, however it ended."""
    child = os.pidfd_open(server)
    poll = select.poll()
    poll.register(runner, select.POLLIN)
    poll.register(child, select.POLLIN)
    poll.poll()
    with contextlib.suppress(ProcessLookupError):
        os.kill(server, signal.SIGKILL)
    os._exit(0)


def _may_mount() -> bool:
    """Whether root may mount; in many containers it may not."""
    with open("/proc/self/status") as lines:  # noqa: PTH123
        held = next(int(line.split()[1], 16) for line in lines if line.startswith("CapEff:"))
    return bool(held >> 21 & 1)


def _forget(files: Library) -> None:
    """Take out of this process what a program could use to reach this package, and what tells where it lies."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "selfimprove"]:
        del sys.modules[name]
    sys.modules["__main__"] = types.ModuleType("__main__")
    os.environ.clear()
    sys.path = [path for path in sys.path if path in sysconfig.get_paths().values() or "lib-dynload" in path]
    for path, finder in list(sys.path_importer_cache.items()):
        if path not in sys.path:
            del sys.path_importer_cache[path]
        elif finder is not None and path not in files.readable:  # it cannot be listed, only what is in it
            vars(finder).update(_fill_cache=lambda: None, invalidate_caches=lambda: None)


# ---- the server ----------------------------------------------------------------------------------------------------
def _serve(settings: dict, ruleset: int, scratch: str | None) -> NoReturn:
    """Fork a child, wait for the word that it has a request, wait for its end; again, until the runner is gone."""
    control, status = settings["control"], settings["status"]
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    nothing = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    calls = kernel.prepare_filter(scratch is not None)
    given = os.memfd_create("stdin")
    for number, kind in enumerate((given, settings["output"], nothing)):  # as a child's will be
        os.dup2(kind, number)
    os.close(given)
    surroundings.streams()
    candidate.rehearse()
    kernel.limit(settings["memory"], settings["processes"])
    gc.freeze()
    while True:
        child = kernel.fork()
        if not child:
            _child(settings, ruleset, calls)
        _say(status, {"ready": True})
        if os.read(control, 1) != b"g":
            os.kill(child, signal.SIGKILL)
            os._exit(0)
        _say(status, _watch(child, control, settings["wall"]))
        while (word := os.read(control, 1)) != b"c":
            if word != b"k":  # the word to stop a child that had just ended
                os._exit(0)
        _drain(settings["request"], nothing)
        if scratch:
            _wipe(scratch)


def _watch(child: int, control: int, seconds: float) -> dict:
    """Wait for a child's end; kill it at the deadline, or when the runner says so or is gone."""
    began, late, stopped = time.monotonic(), False, False
    used, asleep, clock = 0.0, 0.0, ~child << 3 | 2  # the number of the clock of its computing time
    handle = os.pidfd_open(child)
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    poll.register(control, select.POLLIN)
    while not stopped and not late:
        looked = time.monotonic()
        found = dict(poll.poll(max(0.0, min(TICK, began + seconds - looked)) * 1000))
        if handle in found:
            break
        stopped, now = control in found, time.clock_gettime(clock)
        passed, late = time.monotonic() - looked, time.monotonic() >= began + seconds
        asleep += passed if now - used < AWAKE * passed / TICK else 0.0
        used = now
    if stopped or late:
        os.kill(child, signal.SIGKILL)
    if stopped and os.read(control, 1) != b"k":
        os._exit(0)
    _, how, used_up = os.wait4(child, 0)
    os.close(handle)
    return {
        "exit": os.waitstatus_to_exitcode(how),
        "late": late,
        "cpu": used_up.ru_utime + used_up.ru_stime,
        "wall": time.monotonic() - began,
        "asleep": asleep,
        "memory": used_up.ru_maxrss * 1024,
    }


def _drain(pipe: int, nothing: int) -> None:
    """Drop unread data of a child without reading it."""
    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    while any(event & select.POLLIN for _, event in poll.poll(0)):
        if not os.splice(pipe, nothing, 1 << 20):
            return


def _wipe(folder: str) -> None:
    """Remove a child's files; if that fails, end the server, so that the jail is replaced."""
    try:
        if not os.listdir(folder):  # noqa: PTH208 - nearly always
            return
        for path, folders, files in os.walk(folder, topdown=False):
            for name in files:
                os.unlink(f"{path}/{name}")  # noqa: PTH108
            for name in folders:
                os.rmdir(f"{path}/{name}")  # noqa: PTH106
    except OSError:
        os._exit(1)


def _say(status: int, message: dict) -> None:
    os.write(status, json.dumps(message).encode() + b"\n")


# ---- the child -----------------------------------------------------------------------------------------------------
def _child(settings: dict, ruleset: int, calls: kernel.Filter) -> NoReturn:
    """Confine this process for good, then read a request and run it."""
    try:
        kernel.die_with(os.getppid())
        os.setsid()
        request, answers, output = settings["request"], settings["answers"], settings["output"]
        control, status = settings["control"], settings["status"]
        given = os.memfd_create("stdin")
        nothing = os.open("/dev/null", os.O_RDWR)
        for descriptor in (request, answers, output):
            fcntl.fcntl(descriptor, fcntl.F_SETFL, 0)  # whoever used the pipes before may have left them otherwise
        os.dup2(given, 0)
        os.dup2(output, 1)
        os.dup2(nothing, 2)
        kernel.landlock_enter(ruleset)
        kept = sorted((request, answers))
        os.closerange(3, kept[0])
        os.closerange(kept[0] + 1, kept[1])
        os.closerange(kept[1] + 1, max(control, status, output, kept[1]) + 64)  # what is opened here has low numbers
        kernel.limit_time(settings["cpu"])
        kernel.seccomp(calls)
        size = int.from_bytes(_exactly(request, 4), "big")
        asked = json.loads(_exactly(request, size))
        os.write(answers, b"R")
        if asked["mode"] in ("stdin", "calls"):
            os.close(request)
        text = asked.pop("stdin", "").encode(errors="replace")
        os.write(0, text)
        os.lseek(0, 0, os.SEEK_SET)
    except BaseException:
        os._exit(113)
    candidate.run(asked, answers, request)


def _exactly(pipe: int, size: int) -> bytes:
    """Read a number of bytes from a pipe; ends the process if the pipe is closed."""
    parts, left = [], size
    while left:
        part = os.read(pipe, min(left, 1 << 20))
        if not part:
            os._exit(0)
        parts.append(part)
        left -= len(part)
    return b"".join(parts)
