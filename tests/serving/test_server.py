"""A real server on the loopback address: a thousand clients, large bodies, clients that go, and the engine openai."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from typing import Any

import httpx
import pytest

from selfimprove.errors import BusyError, RecipeError
from selfimprove.interfaces import GREEDY, Ask, Sampling
from selfimprove.methods.engine.openai import OpenAI
from selfimprove.methods.refinement.self_consistency import SelfConsistency
from selfimprove.records import Checkpoint, Prompt
from selfimprove.serving import server

SUM, RIGHT = "S:3+5+8=", "3+5=8;8+8=6#6"
TALK = {"messages": [{"role": "user", "content": SUM}]}
CHAT = "/v1/chat/completions"


@pytest.mark.long
def test_a_thousand_clients_at_once_are_all_answered(make_service: Any, serving: Any) -> None:
    server._open_files()

    async def ask(url: str) -> list[int]:
        limits = httpx.Limits(max_connections=1000, max_keepalive_connections=0)
        async with httpx.AsyncClient(base_url=url, timeout=60, limits=limits) as client:
            answers = await asyncio.gather(*(client.post(CHAT, json=TALK) for _ in range(1000)))
        assert all(answer.json()["choices"][0]["message"]["content"] == RIGHT for answer in answers)
        return [answer.status_code for answer in answers]

    service = make_service()
    with serving(service) as url:
        assert asyncio.run(ask(url)) == [200] * 1000
    assert service.batches.batches < 500  # many of them shared one


def test_a_full_queue_says_when_to_come_again_and_clients_that_go_are_forgotten(
    make_service: Any, serving: Any
) -> None:
    began, goes_on = threading.Event(), threading.Event()

    def slow(wanted: Any) -> Any:
        began.set()
        assert goes_on.wait(20)
        return [[] for _ in wanted]

    service = make_service(requests=1, respond=slow)
    with serving(service) as url:
        host, port = url.removeprefix("http://").split(":")
        body = json.dumps(TALK).encode()
        head = (
            f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        with socket.create_connection((host, int(port))) as client:
            client.sendall(head.encode() + body)
            assert began.wait(20)
            refused = httpx.post(url + CHAT, json=TALK)
            assert refused.status_code == 503 and refused.headers["retry-after"] == "1"
            assert "1 requests are waiting" in refused.json()["error"]["message"]
        while not service.figures.gone:
            assert httpx.get(url + "/health").status_code == 200
        goes_on.set()
        assert "selfimprove_clients_gone_total 1" in httpx.get(url + "/metrics").text


@pytest.mark.long
def test_a_body_of_100_megabytes_is_refused_and_not_kept(make_service: Any, serving: Any) -> None:
    with serving(make_service()) as url:
        answer = httpx.post(url + CHAT, content=b"x" * 100_000_000, headers={"content-type": "application/json"})
        assert answer.status_code == 413 and "1048576 bytes" in answer.json()["error"]["message"]
        assert httpx.post(url + CHAT, json=TALK).status_code == 200
        with socket.create_connection(tuple(url.removeprefix("http://").split(":"))) as client:
            client.sendall(b"\x00 not HTTP\r\n\r\n")
            assert client.recv(100).startswith(b"HTTP/1.1 400")


def test_the_engine_openai_uses_it_as_a_model(make_service: Any, serving: Any, quiet_log: Any) -> None:
    prompt = Prompt(prompt=[{"role": "user", "content": SUM}], key="3+5+8")
    here = Checkpoint(path="unused")
    with serving(make_service(SelfConsistency(samples=3))) as url:
        refined = OpenAI(base_url=f"{url}/v1", model="m")
        [[one]] = refined.draw([Ask(checkpoint=here, prompt=prompt, sampling=GREEDY)], quiet_log)
        assert one.text == RIGHT and one.info == {"finish_reason": "stop"}
        plain = OpenAI(base_url=f"{url}/v1", model="m:samples", include_stop_str_in_output=True)
        ask = Ask(checkpoint=here, prompt=prompt, n=20, sampling=Sampling(stop=("#",)), seed=4)
        [drawn] = plain.draw([ask], quiet_log)
        assert {one.text for one in drawn} == {"3+5=8;8+8=6#", "#"}
        [again] = OpenAI(base_url=f"{url}/v1", model="m:samples", include_stop_str_in_output=True).draw(
            [ask], quiet_log
        )
        assert [one.text for one in again] == [one.text for one in drawn]  # the seeds are honoured
        texts = OpenAI(base_url=f"{url}/v1", model="m", chat=False)
        assert texts.draw([Ask(checkpoint=here, prompt=prompt, sampling=GREEDY)], quiet_log)[0][0].text == RIGHT


def test_a_port_in_use_and_hosts_of_others_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(server.KEY, raising=False)
    with server.listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        assert server.address(taken) == f"http://127.0.0.1:{port}/v1"
        with pytest.raises(BusyError, match=f"port {port} of 127.0.0.1 is in use"):
            server.listen("127.0.0.1", port)
    for place in [("203.0.113.1", 0), ("127.0.0.1", 70_000)]:
        with pytest.raises(RecipeError, match="--port|--host"):
            server.listen(*place)
    assert server.key_for("localhost") == server.key_for("127.0.0.2") == ""
    with pytest.raises(RecipeError, match="SELFIMPROVE_API_KEY"):
        server.key_for("0.0.0.0")
    monkeypatch.setenv(server.KEY, "a-key")
    assert server.key_for("0.0.0.0") == "a-key"
    monkeypatch.setenv(server.KEY, "a key")
    with pytest.raises(RecipeError, match="character"):
        server.key_for("0.0.0.0")
