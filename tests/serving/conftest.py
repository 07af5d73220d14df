"""A service around the fake engine, and the same behind a real server on the loopback address."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from selfimprove.interfaces import Refinement
from selfimprove.recipe import compose
from selfimprove.records import Rollout
from selfimprove.serving.answering import Wanted, answer
from selfimprove.serving.app import Limits, Service, application, service_of
from selfimprove.serving.served import Served

SUM = "S:3+5+8="
"""A problem of the sums task."""


@pytest.fixture
def make_service(make_engine: Any, make_policy: Any) -> Callable[..., Service]:
    """`make_service(refinement, ..., answers={...}, key="", limits={...})`: a service named `m`."""

    def make(*chain: Refinement, answers: Any = None, key: str = "", respond: Any = None, **limits: Any) -> Service:
        policy = make_policy(make_engine(answers or {SUM: {"3+5=8;8+8=6#6": 0.6, "#1": 0.4}}), *chain)
        recipe, _ = compose.load("quickstart")
        exam = {"verdict": "a gain", "champion": 0.9, "delta": 0.2, "ci": [0.1, 0.3], "n": 100, "champion_round": 1}
        served = Served(name="m", policy=policy, recipe=recipe, hashes={"model.safetensors": "5a"}, exam=exam)

        def answered(wanted: Sequence[Wanted]) -> list[list[Rollout]]:
            return answer(policy, wanted)

        return service_of(
            served, Limits(tokens=64, context=100, **limits), key=key, tokenizer=None, answer=respond or answered
        )

    return make


@pytest.fixture
def serving() -> Callable[[Service], contextlib.AbstractContextManager[str]]:
    """`with serving(service) as url`: behind uvicorn, in a thread, at a free port."""
    import uvicorn

    @contextlib.contextmanager
    def serve(service: Service) -> Iterator[str]:
        listening = socket.create_server(("127.0.0.1", 0), backlog=2048)
        config = uvicorn.Config(application(service), log_level="error", timeout_graceful_shutdown=5)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        until = time.monotonic() + 20
        while not server.started:
            assert thread.is_alive() and time.monotonic() < until
            time.sleep(0.005)
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(20)
            assert not thread.is_alive()

    return serve
