"""Runs the application: a socket of its own, a graceful stop, enough open files for its clients."""

from __future__ import annotations

import contextlib
import copy
import errno
import os
import re
import resource
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from selfimprove.errors import BusyError, EngineError, RecipeError
from selfimprove.inference import tokenizers
from selfimprove.interfaces import Ask, Sampling
from selfimprove.logs import Silent
from selfimprove.serving.answering import problem
from selfimprove.serving.served import Served

KEY = "SELFIMPROVE_API_KEY"
"""The environment variable with the key that clients must send."""
LOOPBACK = re.compile(r"localhost|127(\.\d{1,3}){3}|::1")
GRACE = 30
"""Seconds that requests have to end once the server is told to stop."""
FILES = 1 << 16
"""Open files that are asked for: each client takes one."""


def key_for(host: str) -> str:
    """The key that clients must send, from the environment; "" if none is asked for.

    Raises:
        RecipeError: others can reach the host and there is no key, or it could not be sent.
    """
    key = os.environ.get(KEY, "").strip()
    if not key and not LOOPBACK.fullmatch(host):
        raise RecipeError(f"whoever reaches {host} could use the model: put a key into the environment variable {KEY}")
    if not re.fullmatch(r"[!-~]*", key):
        raise RecipeError(f"the environment variable {KEY} holds a character that no header can; choose another key")
    return key


def installed() -> None:
    """Whether what it needs is installed.

    Raises:
        EngineError: it is not.
    """
    try:
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise EngineError("serve needs starlette and uvicorn: pip install 'selfimprove[serve]'") from error


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there; taken before a model is loaded, so that a port in use costs no time.

    Raises:
        BusyError: another program listens there.
        RecipeError: this machine does not have the address, or may not use the port.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        made = socket.socket(family, socket.SOCK_STREAM)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, port))
        made.listen(2048)
    except OverflowError as error:
        raise RecipeError(f"--port {port} is none: it takes 0 to 65535, and 0 takes any that is free") from error
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise BusyError(f"port {port} of {host} is in use; choose another one, or --port 0 for any free") from error
        raise RecipeError(f"cannot listen at {host}:{port}: {error.strerror}; choose --host and --port") from error
    return made


def address(listening: socket.socket) -> str:
    """The address of the endpoint, with its version."""
    host, port = listening.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/v1"


def run(
    served: Served,
    listening: socket.socket,
    key: str,
    tokens: int | None,
    requests: int,
    body: int,
    ready: Callable[[], None],
) -> None:
    """Serve until the process is told to stop; then requests have `GRACE` seconds to end.

    Args:
        tokens: most of a completion; None takes what the exam had.
        requests, body: see `Limits`.
        ready: called once the model is loaded.
    """
    import uvicorn

    from selfimprove.serving.app import Limits, application, service_of

    engine, tokenizer = served.policy.engine, tokenizer_of(served.path)
    longest = engine.longest() if tokens is None else tokens
    limits = Limits(tokens=longest, context=context_of(served.path), body=body, requests=requests)

    service = service_of(served, limits, key, tokenizer)
    warm(served)
    _open_files()
    ready()
    config = uvicorn.Config(
        application(service),
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=GRACE,
        server_header=False,
        date_header=True,
    )
    with contextlib.suppress(KeyboardInterrupt):  # uvicorn raises the signal again once everything has ended
        uvicorn.Server(config).run(sockets=[listening])
    engine.close()


def warm(served: Served) -> None:
    """Load the weights, by drawing a token."""
    sampling, prompt = Sampling(max_completion_length=1), problem([{"role": "user", "content": "?"}])
    served.policy.engine.draw([Ask(checkpoint=served.policy.checkpoint, prompt=prompt, sampling=sampling)], Silent())


def tokenizer_of(folder: Path) -> Any:
    """The tokenizer of a model folder, which shares nothing with the engine's: they run in different threads."""
    return copy.deepcopy(tokenizers.read(str(folder)))


def context_of(folder: Path) -> int:
    """The tokens of the model's context."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(str(folder), local_files_only=True).get_text_config()
    return int(vars(config).get("max_position_embeddings") or 1 << 31)


def _open_files() -> None:
    """Ask for as many open files as the system lets this process have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = FILES if hard == resource.RLIM_INFINITY else min(hard, FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
