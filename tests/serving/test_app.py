"""The paths of the server with the fake engine, without a socket."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from starlette.testclient import TestClient

from selfimprove.errors import DataError
from selfimprove.methods.refinement.greedy import Greedy
from selfimprove.methods.refinement.self_consistency import SelfConsistency
from selfimprove.serving.app import Service, application

SUM, RIGHT = "S:3+5+8=", "3+5=8;8+8=6#6"
TALK = {"messages": [{"role": "user", "content": SUM}]}
CHAT = "/v1/chat/completions"
Make = Callable[..., Service]


def events(text: str) -> list[Any]:
    lines = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
    assert lines.pop() == "[DONE]"
    return [json.loads(line) for line in lines]


def test_answers_models_and_numbers_are_openais(make_service: Make) -> None:
    with TestClient(application(make_service(SelfConsistency(samples=3)))) as client:
        body = client.post(CHAT, json=TALK).json()
        assert body["choices"][0]["message"] == {"role": "assistant", "content": RIGHT}
        assert body["choices"][0]["finish_reason"] == "stop" and body["object"] == "chat.completion"
        assert body["usage"]["completion_tokens"] == 3  # of the fake engine a completion is one token
        assert body["selfimprove"]["examined"] and body["model"] == "m"
        texts = client.post(
            "/v1/completions", json={"prompt": [SUM, "?"], "model": "m:samples", "temperature": 0}
        ).json()
        assert [one["text"] for one in texts["choices"]] == [RIGHT, "?"] and texts["object"] == "text_completion"
        assert not texts["selfimprove"]["examined"] and texts["selfimprove"]["differs"] == ["plain samples"]
        refined, plain = client.get("/v1/models").json()["data"]
        assert (refined["id"], plain["id"]) == ("m", "m:samples")
        assert refined["selfimprove"]["verdict"] == "a gain" and refined["selfimprove"]["examined"]
        assert refined["selfimprove"]["weights_sha256"] == {"model.safetensors": "5a"}
        assert client.get("/v1/models/m:samples").json() == plain and not plain["selfimprove"]["examined"]
        assert client.get("/v1/models/other").status_code == 404
        assert client.get("/health").json() == {"status": "ok"}
        numbers = client.get("/metrics").text
        assert 'selfimprove_requests_total{path="/v1/chat/completions",code="200"} 1' in numbers
        assert 'selfimprove_tokens_total{kind="completion"} 5' in numbers
        assert "selfimprove_answer_seconds_count 2" in numbers and "selfimprove_batched_requests_total 2" in numbers


@pytest.mark.parametrize("chain", [Greedy(), SelfConsistency(samples=3)])
def test_a_stream_ends_with_the_whole_answer_and_what_was_examined(make_service: Make, chain: Any) -> None:
    with TestClient(application(make_service(chain))) as client:
        asked = {**TALK, "stream": True, "stream_options": {"include_usage": True}}
        first, *more, last, numbers = events(client.post(CHAT, json=asked).text)
        assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}
        assert "".join(one["choices"][0]["delta"]["content"] for one in more) == RIGHT
        assert last["choices"][0] == {"index": 0, "finish_reason": "stop", "logprobs": None, "delta": {}}
        assert numbers["choices"] == [] and numbers["usage"]["completion_tokens"] == (1 if chain == Greedy() else 3)
        assert numbers["selfimprove"]["examined"]
        text = events(client.post("/v1/completions", json={"prompt": SUM, "stream": True}).text)
        assert "".join(one["choices"][0]["text"] for one in text[:-1]) == RIGHT and "usage" not in text[-1]


def test_what_cannot_be_served_is_refused_in_one_line(make_service: Make) -> None:
    with TestClient(application(make_service(body=200, requests=1))) as client:
        for content, kind, code in [
            (b"{", "application/json", 400),
            (b"\xff\xfe", "application/json", 400),
            (b"[" * 100_000, "application/json", 413),
            (b"{}", "application/json", 400),
            (json.dumps(TALK).encode(), "text/plain", 415),
            (b" " * 201, "application/json", 413),
        ]:
            answer = client.post(CHAT, content=content, headers={"content-type": kind})
            assert answer.status_code == code and answer.json()["error"]["code"] == code, content[:9]
            assert "\n" not in answer.json()["error"]["message"]
        assert client.get(CHAT).status_code == 405 and client.get("/v2").status_code == 404
        pair = {"prompt": "x", "stop": "y"}
        assert client.post("/v1/completions", json=pair).json()["error"]["param"] == "stop"


def test_a_key_is_asked_for_everywhere_but_at_health(make_service: Make) -> None:
    with TestClient(application(make_service(key="k" * 20))) as client:
        assert client.get("/health").status_code == 200
        for path in ("/metrics", "/v1/models"):
            assert client.get(path).status_code == 401
            assert client.get(path, headers={"authorization": "Bearer wrong"}).status_code == 401
            assert client.get(path, headers={"authorization": "Bearer " + "k" * 20}).status_code == 200
        assert client.post(CHAT, json=TALK).status_code == 401


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (DataError("a prompt fills the context"), 400, "fills the context"),
        (RuntimeError("secret"), 500, "RuntimeError"),
    ],
)
def test_a_failure_of_the_engine_is_told_without_its_inner_life(
    make_service: Make, error: Exception, code: int, said: str
) -> None:
    def fail(wanted: Any) -> Any:
        raise error

    with TestClient(application(make_service(respond=fail))) as client:
        answer = client.post(CHAT, json=TALK)
        assert answer.status_code == code and said in answer.json()["error"]["message"]
        assert "secret" not in answer.text
        stream = client.post(CHAT, json={**TALK, "stream": True}).text
        assert said in stream and "secret" not in stream
        assert client.get("/health").status_code == 200
