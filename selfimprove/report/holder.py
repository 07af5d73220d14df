"""Whether a process holds a run, found out without getting in its way."""

from __future__ import annotations

import fcntl
import os
import re
import socket
import time
from dataclasses import dataclass
from pathlib import Path

from selfimprove import foreign
from selfimprove.errors import DataError

FRESH = 60.0
"""Seconds for which what another host has written counts as a sign of life: not every shared disk passes on locks."""


@dataclass(frozen=True)
class Holder:
    """The process that a run folder names in its file LOCK."""

    pid: int
    host: str
    alive: bool


def holder(root: Path, written: float) -> Holder | None:
    """The process that holds a run, or held it last; None if nobody ever did.

    The lock is only tried if a process of that number exists, and for reading, so that a `resume` that starts at the
    same moment finds it free.

    Args:
        written: when the run last wrote something, in seconds since 1970.
    """
    try:
        handle = foreign.opened(root / "LOCK")
    except (OSError, DataError):
        return None
    try:
        said = re.match(r"pid (\d{1,10}) on (\S{1,255}) since", os.read(handle, 400).decode(errors="replace"))
        pid, host = (int(said[1]), said[2]) if said else (0, "")
        here = host == socket.gethostname()
        alive = (not here or _exists(pid)) and _locked(handle)
        return Holder(pid, host, alive or (bool(host) and not here and time.time() - written < FRESH))
    finally:
        os.close(handle)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):  # of another user
        return True
    return True


def _locked(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # a disk without locks
        return False
    return False
