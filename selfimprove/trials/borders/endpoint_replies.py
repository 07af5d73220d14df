"""What an endpoint sends back: an answer is used and kept, or the request ends with one line; nothing else.

A server on the loopback address sends honest replies with faults at each level: values of the JSON, its text, its
encoding and compression, headers, framing, bytes. What was used must read back from a journal as it was.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import random
import socketserver
import threading
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from selfimprove.errors import EngineError
from selfimprove.inference.endpoint import Endpoint
from selfimprove.interfaces import Ask, Sampling
from selfimprove.logs import Silent
from selfimprove.methods.engine.openai import OpenAI
from selfimprove.records import Checkpoint, Prompt, dumps, loads
from selfimprove.store.journal import Journal
from selfimprove.trials import fuzz

VALUES: list[Any] = [
    *(None, True, 0, -1, 1e308, float("nan"), float("inf"), 10**400, "", "a", "\ud800", "\x00", "\u202e", "\x1b[31m"),
    *([], {}, [[]], [None], {"a": 1}, "x" * 70_000, [0.5] * 3, "9" * 5000, -0.5, "\ufeff", "length", "stop"),
]
"""What is put in the place of a value of the JSON."""
TEXTS = [
    "NaN",
    "Infinity",
    "9" * 5000,
    "1e999",
    "[" * 20_000,
    '{"a":' * 20_000,
    "}",
    ",",
    '"',
    "\x00",
    "\\ud800",
    "\\u",
]
"""What is put into the text of the JSON."""
TYPES = [
    *("application/json", "application/json; charset=utf-8", "application/json; charset=utf-16", "text/html", ""),
    *("text/plain; charset=no-such-charset", "application/json; charset=base64", "text/plain; charset=idna", "\xff;"),
    *("application/json; charset=rot13", "application/json; charset=utf-7", "text/event-stream", "image/png"),
]
WAITS = [
    "0",
    "-1",
    "1e9",
    "1e999",
    "nan",
    "soon",
    "9" * 5000,
    "Wed, 21 Oct 2099 07:28:00 GMT",
    "\u0661",
    "1_0",
    "",
    "0x10",
]
WAITS += ["Wed, 99 Foo 99999 99:99:99 GMT", "Fri, 31 Dec 9999 23:59:59 -9999"]
STATUSES = [*[200] * 80, 201, 204, 206, 301, 307, 308, 400, 401, 404, 418, 429, 500, 503, 999, 100, 101, 103]
LINES = [
    "HTTP/1.1 {} OK",
    "HTTP/1.0 {} OK",
    "HTTP/0.9 {}",
    "HTTP/2 {} OK",
    "{}",
    "ICY {} OK",
    "HTTP/1.1 {}",
    "HTTP/1.1 -{} x",
]


class _Server(socketserver.ThreadingTCPServer):
    """Sends `reply` to whatever is asked, and closes."""

    daemon_threads = allow_reuse_address = True
    reply = b""


class _Handler(socketserver.StreamRequestHandler):
    timeout = 2.0

    def handle(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            length = 0
            while line := self.rfile.readline(65_536).strip():
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            self.rfile.read(length)
            assert isinstance(self.server, _Server)
            self.wfile.write(self.server.reply)


class _Impatient(OpenAI):
    """The engine without its waits."""

    def _endpoint(self, path: str) -> Endpoint:
        async def sleep(seconds: float) -> None:
            assert 0 <= seconds <= 300, f"a wait of {seconds} s"
            await asyncio.sleep(0)

        return replace(super()._endpoint(path), sleep=sleep)


def answer(kind: str) -> dict[str, Any]:
    """What an honest server sends: for `chat`, `completions` or `embeddings`."""
    usage = {"usage": {"prompt_tokens": 10, "completion_tokens": 3}}
    tops = [{"token": "x", "logprob": -0.1}, {"token": "y", "logprob": -0.2}]
    content = [{"token": token, "logprob": -0.5, "top_logprobs": tops} for token in ("a", ";", "b")]
    if kind == "embeddings":
        return {"data": [{"index": i, "embedding": [0.5, -0.5]} for i in range(2)]} | usage
    if kind == "chat":
        message = {"role": "assistant", "content": "a;b"}
        return {"choices": [{"message": message, "finish_reason": "stop", "logprobs": {"content": content}}]} | usage
    drawn = [{"a": -0.5, "x": -0.1}] * 3
    numbers = {"tokens": ["a", ";", "b"], "token_logprobs": [-0.5] * 3, "top_logprobs": drawn}
    return {"choices": [{"text": "a;b", "finish_reason": "stop", "logprobs": numbers}]} | usage


def spoiled(value: Any, draw: random.Random) -> Any:
    """The same JSON with one value replaced, removed, repeated or buried."""
    if not isinstance(value, dict | list) or not value or draw.random() < 0.15:
        buried: Any = value
        for _ in range(draw.choice([0, 0, 1, 400])):
            buried = [buried]
        return draw.choice([draw.choice(VALUES), draw.choice(VALUES), buried])
    if isinstance(value, dict):
        key = draw.choice(list(value))
        rest = {name: one for name, one in value.items() if name != key}
        match draw.randrange(8):
            case 0:
                return rest
            case 1:
                return rest | {draw.choice(["\ud800", "", "a" * 300]): value[key]}
            case _:
                return value | {key: spoiled(value[key], draw)}
    at = draw.randrange(len(value))
    match draw.randrange(6):
        case 0:
            return value[:at] + value[at + 1 :]
        case 1:
            return value + [value[at]] * draw.choice([1, 50])
        case _:
            return [*value[:at], spoiled(value[at], draw), *value[at + 1 :]]


def reply(kind: str, draw: random.Random) -> bytes:
    """All that the server sends."""
    content = answer(kind)
    for _ in range(draw.choice([0, 0, 1, 1, 1, 2])):
        content = spoiled(content, draw)
    text = json.dumps(content, ensure_ascii=draw.random() < 0.5)
    if draw.random() < 0.08:
        cut = draw.randrange(len(text))
        text = text[:cut] + draw.choice(TEXTS) + text[cut + draw.randrange(3) :]
    coding = draw.choice(["utf-8"] * 40 + ["utf-16", "utf-32", "utf-7", "latin-1"])
    body = text.encode(coding, errors="surrogatepass" if coding.startswith("utf") and coding != "utf-7" else "replace")
    if draw.random() < 0.04:
        cut = draw.randrange(len(body) + 1)
        body = body[:cut] + draw.randbytes(draw.randrange(9)) + body[cut + draw.randrange(9) :]
    status = draw.choice(STATUSES)
    line = draw.choice([LINES[0]] * 99 + LINES).format(status)
    headers = [("Content-Type", draw.choice(TYPES[:2] * 5 + TYPES)), ("Connection", "close")]
    if status in (429, 503) or draw.random() < 0.1:
        headers.append(("Retry-After", draw.choice(WAITS)))
    if status in (301, 307, 308):
        headers.append(("Location", draw.choice(["http://127.0.0.1:9/", "file:///etc/passwd", "//x", "\xff", ""])))
    body, packed = _packed(body, draw)
    headers += [("Content-Encoding", packed)] if packed else []
    body, framing = _framed(body, draw)
    headers += framing
    draw.shuffle(headers)
    head = "".join(f"{name}: {said}\r\n" for name, said in headers)
    whole = f"{line}\r\n{head}\r\n".encode("utf-8", "replace") + body
    if draw.random() < 0.05:
        cut = draw.randrange(len(whole) + 1)
        whole = draw.choice([whole[:cut], whole[:cut] + draw.randbytes(5) + whole[cut:], b"", b"\r\n\r\n", whole * 2])
    return whole


def _packed(body: bytes, draw: random.Random) -> tuple[bytes, str]:
    match draw.randrange(60):
        case 0:
            return gzip.compress(body), "gzip"
        case 1:
            return zlib.compress(body), "deflate"
        case 2:
            return gzip.compress(body)[:-5], "gzip"
        case 3:
            return gzip.compress(b" " * (64 << 20) + body, 1), "gzip"
        case 4:
            return gzip.compress(gzip.compress(body)), "gzip, gzip"
        case 5:
            return body, draw.choice(["gzip", "br", "zstd", "deflate", "no-such", "gzip" + ", gzip" * 300])
        case _:
            return body, ""


def _framed(body: bytes, draw: random.Random) -> tuple[bytes, list[tuple[str, str]]]:
    match draw.randrange(40):
        case 0:
            return body, []
        case 1:
            return body, [("Content-Length", draw.choice(["-1", "0", "5", "1e3", "9" * 30, "", "nine", "1, 2"]))]
        case 2:
            size = draw.choice([f"{len(body):x}", "ffffffffffffffff", "-1", "zz", "5"])
            return f"{size}\r\n".encode() + body + b"\r\n0\r\n\r\n", [("Transfer-Encoding", "chunked")]
        case 3:
            length = ("Content-Length", str(len(body)))
            return body, [length, draw.choice([length, ("Content-Length", "3"), ("Transfer-Encoding", "chunked")])]
        case _:
            return body, [("Content-Length", str(len(body)))]


@contextlib.contextmanager
def _open(scratch: Path) -> Iterator[fuzz.Try]:
    with _Server(("127.0.0.1", 0), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield lambda draw: _attempt(server, draw, scratch / "journal")
        finally:
            server.shutdown()
            thread.join()


def _attempt(server: _Server, draw: random.Random, place: Path) -> str:
    kind = draw.choice(["chat", "chat", "completions", "embeddings"])
    server.reply = reply(kind, draw)
    place.unlink(missing_ok=True)
    detailed = draw.random() < 0.5
    engine = _Impatient(
        base_url=f"http://127.0.0.1:{server.server_address[1]}/v1",
        model="m",
        chat=kind == "chat",
        logprobs=detailed,
        retries=draw.choice([0, 1]),
        timeout=2.0,
        include_stop_str_in_output=draw.random() < 0.2,
    )
    with fuzz.shown((vars(engine), server.reply)):
        try:
            if kind == "embeddings":
                found = engine.embed(Checkpoint(path="x"), ["a", "b"])
                assert found.shape[0] == 2 and abs(found).max() < float("inf")
                return "used"
            sampling = Sampling(stop=(";",) if draw.random() < 0.5 else (), tops=2 * detailed)
            return _kept(engine, sampling, place)
        except EngineError as error:
            return fuzz.refused(error, (69,))


def _kept(engine: OpenAI, sampling: Sampling, place: Path) -> str:
    """Draw through a journal, then draw again from the journal alone."""
    prompt = Prompt(prompt=[{"role": "user", "content": "q"}], key="q")
    ask = Ask(checkpoint=Checkpoint(path="x"), prompt=prompt, n=1, sampling=sampling, seed=0)
    journal = Journal(place, "step")
    [[drawn]] = journal.before("engine", engine).draw([ask], Silent())
    journal.write()
    assert loads(line := dumps(drawn)) == loads(dumps(drawn)) and line.encode() and drawn.text.encode() is not None
    again = Journal(place, "step")
    [[same]] = again.before("engine", replace(engine, base_url="http://127.0.0.1:9/v1")).draw([ask], Silent())
    assert again.reused == 1 and dumps(same) == line and same.tops == drawn.tops and same.noted == drawn.noted
    return "used"


BORDER = fuzz.Border(promise="what an endpoint sends is used and kept, or refused by one line", open=_open)
