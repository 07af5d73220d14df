"""The attacks of the self-test, which run inside a jail before it is trusted. Each one must be refused.

This file runs as a candidate's program: `attempt` gets the targets and returns the names of the attacks that worked.
"""

import ctypes
import mmap
import os
import socket
import sys
from collections.abc import Callable
from typing import Any


def attempt(aim: dict[str, Any]) -> list[str]:
    """The names of the attacks that were not refused.

    Args:
        aim: `file` with a secret in it, `folder` to write in, `port` and `name` that somebody listens on, `pid` of a
            process that must not be touched, `package`, a file of this project.
    """
    libc = ctypes.CDLL(None, use_errno=True)

    def refused(result: int) -> None:
        if result == -1:
            raise OSError(ctypes.get_errno(), "refused")

    def datagram() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"x", ("127.0.0.1", aim["port"]))

    def abstract() -> None:
        with socket.socket(socket.AF_UNIX) as sender:
            sender.connect("\0" + aim["name"])

    def fork() -> None:
        if not os.fork():
            os._exit(0)

    def read_memory() -> None:
        vector = (ctypes.c_size_t * 2)(0, 0)
        refused(libc.process_vm_readv(aim["pid"], vector, 1, vector, 1, 0))

    tried: dict[str, Callable[[], Any]] = {
        "read a file": lambda: open(aim["file"]).close(),  # noqa: PTH123
        "read a file of this project": lambda: open(aim["package"]).close(),  # noqa: PTH123
        "import this project": lambda: __import__("selfimprove"),
        "list a folder": lambda: os.listdir(aim["folder"]),  # noqa: PTH208
        "write a file": lambda: open(aim["folder"] + "/written", "w").close(),  # noqa: PTH123
        "change a file's mode": lambda: os.chmod(aim["file"], 0o777),  # noqa: PTH101
        "connect to a port": lambda: socket.create_connection(("127.0.0.1", aim["port"]), 1).close(),
        "send a datagram": datagram,
        "connect to an abstract socket": abstract,
        "fork": fork,
        "start a program": lambda: os.posix_spawn(sys.executable, [sys.executable, "-c", ""], {}),
        "signal a process": lambda: os.kill(aim["pid"], 0),
        "trace a process": lambda: refused(libc.ptrace(0x4206, aim["pid"], 0, 0)),  # without stopping it
        "read a process's memory": read_memory,
        "read a process's environment": lambda: open(f"/proc/{aim['pid']}/environ", "rb").close(),  # noqa: PTH123
        "make a namespace": lambda: refused(libc.unshare(0x10000000)),
        "mount": lambda: refused(libc.mount(b"x", b"/", b"tmpfs", 32, None)),
        "take 8 GiB": lambda: mmap.mmap(-1, 8 << 30).close(),
    }
    worked = []
    for name, attack in tried.items():
        try:
            attack()
            worked.append(name)
        except (OSError, MemoryError, ImportError):
            pass
    return worked


def honest() -> list[str]:
    """The standard modules that cannot be imported; a usable jail has all of them."""
    missing = []
    for name in ("asyncio", "sqlite3", "zoneinfo", "xml.etree.ElementTree", "concurrent.futures", "csv", "hashlib"):
        try:
            __import__(name)
        except Exception as error:
            missing.append(f"{name} ({type(error).__name__})")
    return missing
