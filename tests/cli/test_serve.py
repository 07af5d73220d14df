"""What the command `serve` says before it loads a model; what it serves is in tests/serving."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def test_what_cannot_be_served_is_one_line(command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("SELFIMPROVE_API_KEY", raising=False)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for words, code, said in (
            (["nowhere"], 66, "nowhere"),
            ([str(tmp_path)], 65, str(tmp_path)),
            ([".", "--port", port], 75, f"port {port} of 127.0.0.1 is in use; choose another one, or --port 0"),
            ([".", "--port", "99999"], 2, "--port 99999 is none: it takes 0 to 65535"),
            ([".", "--host", "0.0.0.0"], 2, "put a key into the environment variable SELFIMPROVE_API_KEY"),
        ):
            found, out, err = command("serve", *words, *(["--port", "0"] if "--port" not in words else []))
            assert found == code and out == "" and said in err and err.count("\n") == 1, words
