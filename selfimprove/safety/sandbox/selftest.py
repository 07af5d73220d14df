"""Tests whether a sandbox works on this machine by real attacks, because a version number proves nothing."""

from __future__ import annotations

import os
import secrets
import socket
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from selfimprove.safety.sandbox.jail_process import Program
from selfimprove.safety.sandbox.runner import Sandbox

SOURCE = Path(__file__).with_name("attacks.py")
"""The attacks, as a program."""


def failure(sandbox: Sandbox) -> str:
    """What is wrong with a newly started sandbox, in words; "" if it refuses every attack.

    Raises:
        JailLost: an attack ended the jail.
    """
    source = SOURCE.read_text(encoding="utf-8")
    with targets() as aim:
        outcome = sandbox.run(Program(source, function="attempt", arguments=[[aim]]))
        if Path(aim["folder"], "written").exists():
            return "a program can write a file"
    if outcome.status != "ok":
        return f"the self-test ended with {outcome.status}"
    if worked := outcome.answers[0].value:
        return f"a program can {', '.join(worked)}"
    outcome = sandbox.run(Program(source, function="honest", arguments=[[]]))
    if outcome.status != "ok" or outcome.answers[0].value:
        missing = outcome.answers[0].value if outcome.answers else outcome.status
        return f"a program cannot import {', '.join(missing)}: Python must be installed where every user can read it"
    return ""


@contextmanager
def targets() -> Iterator[dict[str, Any]]:
    """The targets of the attacks: a secret file, an open folder, listeners, and this process."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.chmod(0o777)
        secret = folder / "secret"
        secret.write_text(secrets.token_hex(8))
        secret.chmod(0o666)
        stream, datagrams = (
            stack.enter_context(socket.socket(socket.AF_INET, kind)) for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM)
        )
        stream.bind(("127.0.0.1", 0))
        stream.listen()
        datagrams.bind(stream.getsockname())
        name = f"selfimprove-{secrets.token_hex(8)}"
        local = stack.enter_context(socket.socket(socket.AF_UNIX))
        local.bind("\0" + name)
        local.listen()
        port = stream.getsockname()[1]
        aim = {"file": str(secret), "folder": str(folder), "port": port, "name": name, "pid": os.getpid()}
        yield {**aim, "package": str(SOURCE)}
