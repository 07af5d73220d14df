"""Run a script of this package in a process with little memory and time, to look at something untrusted.

The process gets its input on stdin, no secrets from the environment, and answers on stdout. Whatever ends it says
something about its input; nothing of that reaches the process that asks.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

MEMORY, ANSWER = 1 << 30, 1_000_000
"""Bytes of memory that a script may take, and of its answer."""
PATIENCE = 8
"""How many times its CPU seconds a script may last, because other programs use the machine too."""
_KEPT = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH")
_CALM = {
    **dict.fromkeys(("RAYON_NUM_THREADS", "OMP_NUM_THREADS", "MALLOC_ARENA_MAX"), "1"),
    "TOKENIZERS_PARALLELISM": "false",
    "ARROW_DEFAULT_MEMORY_POOL": "system",
}
"""Threads and their pools reserve memory that they do not use."""


class Ended(Exception):
    """The process ended without an answer; the message says why, in words that follow "it"."""


def ask(script: Path, given: bytes, seconds: int) -> Any:
    """The JSON value that a script answers; see `answer`."""
    return json.loads(answer(script, given, seconds))


def answer(script: Path, given: bytes, seconds: int, memory: int = MEMORY, most: int = ANSWER) -> bytes:
    """What a script writes to stdout.

    Args:
        script: its path; it calls `limit` first.
        seconds: CPU time that it gets.
        memory: bytes that it may take.
        most: bytes of its answer.

    Raises:
        Ended: it took too long or too much memory, or failed.
    """
    command = [sys.executable, "-P", str(script), str(seconds), str(memory), str(most)]
    with tempfile.TemporaryFile() as file:
        try:
            done = subprocess.run(
                command,
                input=given,
                stdout=file,
                stderr=subprocess.DEVNULL,
                timeout=PATIENCE * seconds,
                env=environment(),
            )
        except subprocess.TimeoutExpired as error:
            raise Ended(f"takes more than {PATIENCE * seconds} seconds") from error
        if done.returncode in (-9, -24, -6, -11, -7):  # SIGKILL, SIGXCPU; what is not Python aborts where memory ends
            raise Ended(f"takes more than {seconds} seconds or {memory >> 30} GiB")
        file.seek(0)
        raw = file.read(most + 1)
    if done.returncode or len(raw) > most:
        raise Ended("cannot be looked at")
    return raw


def environment() -> dict[str, str]:
    """The environment of such a process: without secrets, and with few threads."""
    return {**{name: os.environ[name] for name in _KEPT if name in os.environ}, **_CALM}


def limit() -> None:
    """Limit this process, which `answer` has started; the script calls it before it reads its input."""
    seconds, memory, most = map(int, sys.argv[1:])
    for kind, bound in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_FSIZE, most + 1),  # the answer is the one file that it writes
        (resource.RLIMIT_CORE, 0),
    ):
        with contextlib.suppress(ValueError, OSError):  # macOS has no limit of memory
            resource.setrlimit(kind, (bound, bound))
