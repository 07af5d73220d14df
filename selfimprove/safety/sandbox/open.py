"""Open the best sandbox that works on this machine, or the one that this process shares."""

from __future__ import annotations

import os
import sys
from functools import lru_cache

from selfimprove.errors import EngineError
from selfimprove.safety.sandbox import selftest
from selfimprove.safety.sandbox.jail_process import JailLost, Limits
from selfimprove.safety.sandbox.runner import Sandbox

TIERS = ("A", "B")
"""A: namespaces, Landlock, seccomp, limits. B: the same without namespaces, for machines that do not allow them."""


def open_sandbox(limits: Limits = Limits(), workers: int | None = None, tier: str | None = None) -> Sandbox:
    """Start the jails of the best tier that passes the self-test on this machine.

    Args:
        workers: jails; None: one for each processor core that this process may use.
        tier: try this one only.

    Raises:
        EngineError: no tier passes; the message says what is missing.
    """
    if sys.platform != "linux":
        raise EngineError("programs can be run on Linux only: the sandbox needs Landlock and seccomp")
    count, reasons = workers or len(os.sched_getaffinity(0)), list[str]()
    for name in [tier] if tier else TIERS:
        sandbox = Sandbox(name, limits, count)
        try:
            sandbox.start()
            if not (failure := selftest.failure(sandbox)):
                return sandbox
        except JailLost as error:
            failure = str(error)
        sandbox.close()
        reasons.append(f"tier {name}: {failure}")
    raise EngineError(
        f"no sandbox for programs works on this machine ({'; '.join(reasons)}). Needed: Linux 5.13 or newer with "
        "Landlock and seccomp; in a container, a profile that allows them. See docs/sandbox.md"
    )


@lru_cache(maxsize=4)
def _shared(owner: int, limits: Limits) -> Sandbox:
    return open_sandbox(limits)


def shared(limits: Limits = Limits()) -> Sandbox:
    """The sandbox of this process with these limits, started on first use; it ends with the process."""
    return _shared(os.getpid(), limits)
