"""The openai engine against a server on the loopback address that fails as its script says."""

from __future__ import annotations

import contextlib
import gzip
import json
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from selfimprove.errors import EngineError, RecipeError
from selfimprove.inference import endpoint, endpoint_embeddings
from selfimprove.inference.endpoint_address import key_for
from selfimprove.interfaces import GREEDY, Ask, Sampling
from selfimprove.loop.loop import Runner
from selfimprove.methods.engine.openai import OpenAI
from selfimprove.records import Checkpoint, Prompt, dumps
from selfimprove.store import journal
from selfimprove.store.journal import Journal
from selfimprove.text import prefilled

HERE = Checkpoint(path="unused")
KEY = "sk-of-the-test-5c1d"


class Stub(ThreadingHTTPServer):
    """Answers with the text of the prompt and the seed; before that, each request uses up a line of `script`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.script: list[Any] = []
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.reply: Callable[[dict[str, Any]], Any] = plain
        self.before: Callable[[int], object] = lambda number: None
        """Called with the number of a request before it is answered."""
        self.now, self.most = 0, 0
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


def plain(body: dict[str, Any]) -> dict[str, Any]:
    """What a server of this kind answers; the numbers let a test add up tokens and log-probabilities."""
    asked = body["messages"][-1]["content"] if "messages" in body else body["prompt"]
    text = f"{asked}/{body['seed'] if body['temperature'] else 'greedy'}"
    choice: dict[str, Any] = {"finish_reason": "stop"}
    if "messages" in body:
        choice |= {"message": {"role": "assistant", "content": text}}
        choice |= {"logprobs": {"content": [{"logprob": -0.5}, {"logprob": -0.25}]}} if body.get("logprobs") else {}
    else:
        choice |= {"text": text, "logprobs": {"token_logprobs": [-1.0, -2.0]} if "logprobs" in body else None}
    return {"choices": [choice], "usage": {"prompt_tokens": 10, "completion_tokens": 3}}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Stub

    def do_POST(self) -> None:
        stub, body = self.server, json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with stub.lock:
            stub.bodies.append(body)
            number = len(stub.bodies)
            stub.paths.append(self.path)
            stub.headers.append(dict(self.headers))
            fault = stub.script.pop(0) if stub.script else None
            stub.now += 1
            stub.most = max(stub.most, stub.now)
        stub.before(number)
        with stub.lock:
            stub.now -= 1
        match fault:
            case "hang up":
                self.close_connection = True
                return
            case "truncated":
                self.answer(200, json.dumps(plain(body)).encode(), cut=20)
                return
            case "slow":
                time.sleep(0.3)
            case (int(status), dict(headers)):
                self.answer(status, b'{"error": {"message": "try \x1b[31mlater"}}', headers)
                return
            case list():
                with contextlib.suppress(OSError):  # whoever has read enough hangs up
                    for part in fault:
                        time.sleep(0.01) if part == "wait" else self.wfile.write(part)
                self.close_connection = True
                return
            case bytes():
                self.answer(200, fault)
                return
        self.answer(200, json.dumps(stub.reply(body)).encode())

    def answer(self, status: int, content: bytes, headers: dict[str, str] | None = None, cut: int = 0) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[:-cut] if cut else content)
        self.close_connection = bool(cut)

    def log_message(self, format: str, *args: Any) -> None: ...


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stub]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = Stub()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def engine(stub: Stub) -> Callable[..., OpenAI]:
    """`engine(retries=2)`: the engine on the stub, with waits of milliseconds."""
    return lambda **options: OpenAI(**{"base_url": stub.url, "model": "m", "backoff": 0.001, "timeout": 5.0, **options})


def texts(groups: list[list[Any]]) -> list[list[str]]:
    return [[rollout.text for rollout in group] for group in groups]


# ---- what is asked, and what becomes of the answers -------------------------------------------------------------
def test_a_chat_request_and_its_rollouts(stub, engine, ask, quiet_log):
    sampling = Sampling(temperature=0.7, top_p=0.9, top_k=5, max_completion_length=7)
    prompts = [ask("a"), ask("b")]
    groups = engine(extra={"user": "u"}).sample(HERE, prompts, 2, sampling, 3, quiet_log)
    assert [[rollout.prompt for rollout in group] for group in groups] == [[prompt] * 2 for prompt in prompts]
    assert set(stub.paths) == {"/v1/chat/completions"} and len(stub.bodies) == 4
    body = next(body for body in stub.bodies if body["messages"][0]["content"] == "a")
    wanted = {"model": "m", "messages": prompts[0].prompt, "temperature": 0.7, "top_p": 0.9, "top_k": 5}
    assert {name: body[name] for name in wanted} == wanted and body["max_tokens"] == 7 and body["user"] == "u"
    assert "min_p" not in body and "logprobs" not in body, "not every endpoint knows them"
    [[rollout, _], _] = groups
    assert rollout.logprobs is None and rollout.info == {"finish_reason": "stop"} and not rollout.truncated
    assert "Authorization" not in {name for headers in stub.headers for name in headers}
    assert quiet_log.marks[-1] == (4, 4, "samples")


def test_plain_completions_join_the_messages(stub, engine, ask, quiet_log):
    [[rollout]] = engine(chat=False, logprobs=True, length_name="n_predict").sample(
        HERE, [ask("abc")], 1, Sampling(), 0, quiet_log
    )
    assert stub.paths == ["/v1/completions"] and stub.bodies[0]["prompt"] == "abc"
    assert stub.bodies[0]["n_predict"] == 512 and stub.bodies[0]["logprobs"] == 0
    assert rollout.text.startswith("abc/") and rollout.logprobs == {"sum": -3.0, "count": 2}


def test_an_answer_that_has_begun_is_gone_on_with_or_refused_before_anything_is_asked(stub, engine, ask, quiet_log):
    prompts = [ask("3+5="), prefilled(ask("1+2="), "1+2=3;")]
    with pytest.raises(
        EngineError, match=r"openai\.continue_final_message=true for a server of vLLM or SGLang"
    ) as error:
        engine().sample(HERE, prompts, 1, GREEDY, 0, quiet_log)
    assert not stub.bodies and error.value.code == 69 and "\n" not in str(error.value)
    engine(continue_final_message=True, concurrency=1).sample(HERE, prompts, 1, GREEDY, 0, quiet_log)
    whole, opened = stub.bodies
    assert not {"continue_final_message", "add_generation_prompt"} & set(whole)
    assert opened["continue_final_message"] is True and opened["add_generation_prompt"] is False
    assert opened["messages"][-1] == {"role": "assistant", "content": "1+2=3;"}
    engine(chat=False).sample(HERE, prompts[1:], 1, GREEDY, 0, quiet_log)
    assert stub.bodies[-1]["prompt"] == "1+2=1+2=3;"


def test_log_probabilities_are_summed_where_they_are_asked_for(stub, engine, ask, quiet_log):
    [[rollout]] = engine(logprobs=True).sample(HERE, [ask("a")], 1, Sampling(), 0, quiet_log)
    assert stub.bodies[0]["logprobs"] is True and rollout.logprobs == {"sum": -0.75, "count": 2}
    stub.reply = lambda body: plain({**body, "logprobs": False})
    with pytest.raises(EngineError, match="gives no log-probabilities; set engine.openai.logprobs=false"):
        engine(logprobs=True).sample(HERE, [ask("a")], 1, Sampling(), 0, quiet_log)


@pytest.mark.long
def test_a_seed_belongs_to_prompt_and_sample_and_not_to_the_batch(stub, engine, ask, quiet_log):
    together = texts(engine().sample(HERE, [ask("a"), ask("b")], 5, Sampling(), 1, quiet_log))
    assert len({text for group in together for text in group}) == 10
    assert texts(engine(concurrency=1).sample(HERE, [ask("b")], 5, Sampling(), 1, quiet_log)) == together[1:]
    assert texts(engine().sample(HERE, [ask("a")], 3, Sampling(), 1, quiet_log))[0] == together[0][:3]
    assert texts(engine().sample(HERE, [ask("a")], 5, Sampling(), 2, quiet_log))[0] != together[0]
    assert all(0 <= body["seed"] < 2**31 for body in stub.bodies)


def test_equal_prompts_and_greedy_samples_are_asked_once(stub, engine, ask, quiet_log):
    groups = texts(engine().sample(HERE, [ask("a"), ask("b"), ask("a")], 3, GREEDY, 1, quiet_log))
    assert len(stub.bodies) == 2 and groups == [["a/greedy"] * 3, ["b/greedy"] * 3, ["a/greedy"] * 3]
    assert engine().sample(HERE, [], 3, GREEDY, 1, quiet_log) == []


@pytest.mark.parametrize(
    ("message", "reason", "text"),
    [
        ({"content": "cut"}, "length", "cut"),
        ({"content": None}, "length", ""),
        ({"content": None}, "content_filter", ""),
    ],
)
def test_an_answer_that_was_cut_or_withheld_is_an_answer(stub, engine, ask, quiet_log, message, reason, text):
    stub.reply = lambda body: {"choices": [{"message": message, "finish_reason": reason}]}
    [[rollout]] = engine(retries=0).sample(HERE, [ask("a")], 1, GREEDY, 0, quiet_log)
    assert rollout.text == text and rollout.truncated == (reason == "length")


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_what_a_server_tells_as_thought_is_kept_apart_and_never_sent_back(stub, engine, ask, quiet_log, name):
    for content, text in (("8", "8"), (None, "")):
        message = {"content": content, name: "3 and 5"}
        stub.reply = lambda body, message=message: {"choices": [{"message": message, "finish_reason": "stop"}]}
        [[rollout]] = engine(retries=0).sample(HERE, [ask("a")], 1, GREEDY, 0, quiet_log)
        assert rollout.completion == [{"role": "assistant", "content": text, "thinking": "3 and 5"}]
        assert rollout.text == text
    more = Prompt(prompt=[*ask("a").prompt, *rollout.completion, *ask("b").prompt])
    engine(retries=0).sample(HERE, [more], 1, GREEDY, 0, quiet_log)
    assert stub.bodies[-1]["messages"][1] == {"role": "assistant", "content": ""}


def test_no_more_requests_at_a_time_than_asked_for(stub, engine, ask, quiet_log):
    three = threading.Barrier(3)
    stub.before = lambda number: three.wait(10)  # no answer before three have asked
    engine(concurrency=3).sample(HERE, [ask(str(i)) for i in range(30)], 1, GREEDY, 0, quiet_log)
    assert stub.most == 3 and len(stub.bodies) == 30


# ---- stop strings, notes and embeddings --------------------------------------------------------------------------
SAID = [("a", -0.5), (";", -0.25), ("b", -1.0), (";c", -2.0)]
"""The tokens of the answer `a;b;c`."""


def spoken(body: dict[str, Any], **choice: Any) -> dict[str, Any]:
    """An answer of known tokens, in the form of `/chat/completions` or `/completions`; each has its likeliest ones."""
    made: dict[str, Any] = {"finish_reason": "stop"}
    if "messages" in body:
        tops = [{"token": "x", "logprob": -0.1}, {"token": "y", "logprob": -0.2}][: body.get("top_logprobs", 0)]
        content = [{"token": token, "logprob": value, "top_logprobs": tops} for token, value in SAID]
        made |= {"message": {"content": "a;b;c"}, "logprobs": {"content": content} if body.get("logprobs") else None}
    else:
        drawn = [{token: value, "x": -0.1, "y": -0.2} for token, value in SAID]  # the drawn one beside the likeliest
        numbers = {"tokens": [one for one, _ in SAID], "token_logprobs": [value for _, value in SAID]}
        made |= {"text": "a;b;c", "logprobs": numbers | {"top_logprobs": drawn}}
    return {"choices": [made | choice]}


@pytest.mark.parametrize("chat", [True, False])
@pytest.mark.parametrize(
    ("stop", "text", "count"), [((";",), "a;", 2), (("c", "b;"), "a;b;", 4), (("b",), "a;b", 3), (("c",), "a;b;c", 4)]
)
def test_an_answer_is_cut_here_behind_its_first_stop_string(stub, engine, ask, quiet_log, chat, stop, text, count):
    stub.reply = spoken
    sampling = Sampling(stop=stop, note=("logprob", "entropy"))
    [[rollout]] = engine(chat=chat, logprobs=True).sample(HERE, [ask("q")], 1, sampling, 0, quiet_log)
    assert "stop" not in stub.bodies[0] and rollout.text == text
    assert rollout.info == {"finish_reason": "stop", "stop_string": next(one for one in stop if text.endswith(one))}
    values = [value for _, value in SAID[:count]]
    assert rollout.logprobs == {"sum": sum(values), "count": count}, "a token that the cut goes through counts"
    assert rollout.noted == {"logprob": values} and rollout.ended is False


def test_with_and_without_a_stop_string_it_is_one_request_and_no_stop_string_leaves_all(stub, engine, ask, quiet_log):
    stub.reply = spoken
    samplings = [Sampling(), Sampling(stop=(";",)), Sampling(stop=("z",))]
    asks = [Ask(checkpoint=HERE, prompt=ask("q"), sampling=one) for one in samplings]
    [[whole], [cut], [all_of_it]] = engine().draw(asks, quiet_log)
    assert len(stub.bodies) == 1 and (whole.text, cut.text, all_of_it.text) == ("a;b;c", "a;", "a;b;c")
    assert cut.logprobs is None and whole.info == all_of_it.info == {"finish_reason": "stop"}


@pytest.mark.parametrize(
    ("choice", "text", "stopped"),
    [
        ({"message": {"content": "a;"}, "stop_reason": ";"}, "a;", ";"),
        ({"message": {"content": "a"}, "stop_reason": ";"}, "a;", ";"),
        ({"message": {"content": "a"}, "stop_reason": None}, "a", ""),
        ({"message": {"content": "a"}, "finish_reason": "length"}, "a", ""),
    ],
    ids=["kept", "cut off and named", "its own end", "limit"],
)
def test_a_server_that_ends_at_a_stop_string_is_asked_to(stub, engine, ask, quiet_log, choice, text, stopped):
    stub.reply = lambda body: spoken(body, **choice)
    served = engine(include_stop_str_in_output=True, retries=0)
    [[rollout]] = served.sample(HERE, [ask("q")], 1, Sampling(stop=(";", "!")), 0, quiet_log)
    assert stub.bodies[0]["stop"] == [";", "!"] and stub.bodies[0]["include_stop_str_in_output"] is True
    assert rollout.text == text and rollout.info.get("stop_string", "") == stopped
    served.sample(HERE, [ask("q")], 1, Sampling(), 0, quiet_log)
    assert not {"stop", "include_stop_str_in_output"} & set(stub.bodies[1]), "only where a stop string is wanted"


def test_a_server_that_hides_where_it_stopped_is_one_line(stub, engine, ask, quiet_log):
    stub.reply = lambda body: spoken(body, message={"content": "a"})
    with pytest.raises(EngineError, match=r"does not say which: set engine.openai.include_stop_str_in_output=false$"):
        engine(include_stop_str_in_output=True).sample(HERE, [ask("q")], 1, Sampling(stop=(";",)), 0, quiet_log)
    assert len(stub.bodies) == 1, "another try would not help"


@pytest.mark.parametrize("chat", [True, False])
def test_the_likeliest_tokens_are_noted_up_to_the_stop_string(stub, engine, ask, quiet_log, chat):
    stub.reply = spoken
    sampling = Sampling(stop=(";",), tops=2)
    [[rollout]] = engine(chat=chat, logprobs=True).sample(HERE, [ask("q")], 1, sampling, 0, quiet_log)
    assert stub.bodies[0]["top_logprobs" if chat else "logprobs"] == 2
    assert [list(one.items()) for one in rollout.tops] == [[("x", -0.1), ("y", -0.2)]] * 2 and rollout.noted == {}
    for wanted in (Sampling(tops=2), Sampling(note=("logprob",))):
        with pytest.raises(RecipeError, match="set its logprobs=true"):
            engine(chat=chat).sample(HERE, [ask("q")], 1, wanted, 0, quiet_log)
    assert len(stub.bodies) == 1


def test_embeddings_come_in_the_order_of_the_texts_from_requests_of_a_few(stub, engine, monkeypatch):
    def embedded(body: dict[str, Any]) -> dict[str, Any]:
        rows = [{"index": i, "embedding": [float(len(text)), 0.5]} for i, text in enumerate(body["input"])]
        return {"data": rows[::-1]}

    monkeypatch.setattr(endpoint_embeddings, "PART", 2)
    stub.reply, words = embedded, ["a", "bb", "ccc", "dddd", "eeeee"]
    found = engine(embedding_model="e").embed(HERE, words)
    assert found.tolist() == [[1.0, 0.5], [2.0, 0.5], [3.0, 0.5], [4.0, 0.5], [5.0, 0.5]] and found.dtype == "float32"
    assert set(stub.paths) == {"/v1/embeddings"} and {body["model"] for body in stub.bodies} == {"e"}
    assert sorted(body["input"] for body in stub.bodies) == [["a", "bb"], ["ccc", "dddd"], ["eeeee"]]
    engine().embed(HERE, ["a"])
    assert stub.bodies[-1]["model"] == "m" and engine().embed(HERE, []).shape == (0, 0) and len(stub.bodies) == 4


def test_fewer_embeddings_than_texts_are_an_answer_that_cannot_be_used(stub, engine):
    stub.reply = lambda body: {"data": [{"index": 0, "embedding": [1.0]}]}
    with pytest.raises(EngineError, match="embeddings failed 2 times.*unusable"):
        engine(retries=1).embed(HERE, ["a", "b"])


# ---- faults ------------------------------------------------------------------------------------------------------
FAULTS = {
    "hang up": "hang up",
    "truncated": "truncated",
    "429": (429, {"Retry-After": "0"}),
    "500": (500, {}),
    "503": (503, {}),
    "408": (408, {}),
    "no json": b"<html>busy</html>",
    "no choices": b'{"choices": []}',
    "no object": b"[1, 2]",
    "no text": b'{"choices": [{"message": {"content": null}, "finish_reason": "stop"}]}',
    "a number for a text": b'{"choices": [{"message": {"content": 7}}]}',
    "strange usage": b'{"choices": [{"message": {"content": "x"}}], "usage": {"prompt_tokens": "many"}}',
    "endless usage": b'{"choices": [{"message": {"content": "x"}}], "usage": {"prompt_tokens": 1e999}}',
    "usage below zero": b'{"choices": [{"message": {"content": "x"}}], "usage": {"prompt_tokens": -1}}',
    "NaN": b'{"choices": [{"message": {"content": "x"}}], "created": NaN}',
    "a number of 5,000 digits": b'{"choices": [{"message": {"content": "x"}}], "n": ' + b"9" * 5000 + b"}",
    "20,000 levels": b"[" * 20_000 + b"]" * 20_000,
    "a reason of another type": b'{"choices": [{"message": {"content": "x"}, "finish_reason": ["stop"]}]}',
    "empty": b"",
    "null": b"null",
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_every_passing_fault_is_tried_again_and_then_an_engine_error(stub, engine, ask, quiet_log, fault):
    stub.script = [fault] * 2
    assert texts(engine(retries=2).sample(HERE, [ask("a")], 1, GREEDY, 0, quiet_log)) == [["a/greedy"]]
    assert len(stub.bodies) == 3 and quiet_log.metrics["openai/retries"] == 2
    stub.script, stub.bodies = [fault] * 3, []
    with pytest.raises(EngineError, match="failed 3 times, the last time with") as caught:
        engine(retries=2).sample(HERE, [ask("a")], 1, GREEDY, 0, quiet_log)
    assert len(stub.bodies) == 3 and caught.value.code == 69
    assert (
        "\n" not in str(caught.value) and "\x1b" not in str(caught.value) and "selfimprove resume" in str(caught.value)
    )


GZIP = {"Content-Encoding": "gzip"}
ANSWER = json.dumps({"choices": [{"message": {"content": "x"}}]}).encode()


def raw(content: bytes, headers: dict[str, str] | None = None, line: str = "HTTP/1.1 200 OK") -> list[bytes]:
    """All that a server sends, byte by byte."""
    lines = [line, *(f"{name}: {value}" for name, value in (headers or {}).items())]
    return [("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + content]


def chunks(content: bytes, packed: str = "") -> list[bytes]:
    """The same without an end: chunk after chunk."""
    head = {"Transfer-Encoding": "chunked"} | ({"Content-Encoding": packed} if packed else {})
    return raw(b"", head) + [b"%x\r\n%s\r\n" % (len(content), content)] * 300


BOMB = gzip.compress(b" " * (32 << 20), 1)
BODIES: dict[str, list[bytes]] = {
    "chunked without an end": chunks(b" " * 65_536),
    "packed bomb": raw(BOMB, GZIP | {"Content-Length": str(len(BOMB))}),
    "packed twice": raw(b"", {"Content-Encoding": "gzip, gzip", "Content-Length": "0"}),
    "packed as br": raw(b"x", {"Content-Encoding": "br", "Content-Length": "1"}),
    "packed and cut off": raw(gzip.compress(ANSWER)[:-9], GZIP | {"Connection": "close"}),
    "not packed": raw(ANSWER, GZIP | {"Connection": "close"}),
    "without a head": [ANSWER],
    "another protocol": raw(ANSWER, line="ICY 200 OK"),
    "a length that is none": raw(ANSWER, {"Content-Length": "many"}),
    "two lengths": raw(ANSWER, {"Content-Length": "3", "Transfer-Encoding": "nonsense"}),
    "nothing": [b""],
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_body_that_is_broken_or_endless_is_a_failed_try(stub, engine, ask, quiet_log, body):
    stub.script = [body]
    [[rollout]] = engine(retries=1).sample(HERE, [ask("a")], 1, GREEDY, 0, quiet_log)
    assert rollout.text == "a/greedy" and quiet_log.metrics["openai/retries"] == 1


def test_a_drip_ends_with_the_clock_of_its_request(stub, engine, ask, quiet_log):
    drip = raw(b"", {"Content-Length": "1000"}) + [b" ", "wait"] * 20
    stub.script = [drip, drip]
    began = time.monotonic()
    with pytest.raises(EngineError, match="TimeoutError"):
        engine(timeout=0.05, retries=1).sample(HERE, [ask("a")], 1, GREEDY, 0, quiet_log)
    assert time.monotonic() - began < 3


PACKED = {"gzip": gzip.compress, "deflate": zlib.compress, "x-gzip": gzip.compress, "identity": bytes}
PACKED["deflate "] = lambda data: zlib.compress(data)[2:-4]  # without the header, as some servers send it


@pytest.mark.parametrize("packing", PACKED)
@pytest.mark.parametrize("coding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_packed_answer_is_read_whatever_its_type_says(stub, engine, ask, quiet_log, packing, coding):
    content = PACKED[packing]('{"choices": [{"message": {"content": "\xe4\U0001f4a3"}}]}'.encode(coding))
    head = {"Content-Encoding": packing, "Content-Type": "text/html; charset=rot13"}
    stub.script = [raw(content, head | {"Content-Length": str(len(content))})]
    [[rollout]] = engine(retries=0).sample(HERE, [ask("a")], 1, GREEDY, 0, quiet_log)
    assert rollout.text == "\xe4\U0001f4a3"


def test_half_a_character_is_replaced_before_it_is_kept(stub, engine, ask, quiet_log, attempt):
    stub.script = [rb'{"choices": [{"message": {"content": "a\ud800b"}, "finish_reason": "\udfff"}]}']
    [[rollout]], _, _ = attempt(engine(retries=0), [ask("a")])
    assert rollout.text == "a\ufffdb" and rollout.info == {"finish_reason": "\ufffd"}
    assert dumps(rollout).encode() and attempt(engine(), [ask("a")])[0] == [[rollout]] and len(stub.bodies) == 1
    stub.script = [b'{"choices": [{"message": {"content": "a\xed\xa0\x80\xff"}}]}']
    [[rollout]] = engine(retries=0).sample(HERE, [ask("b")], 1, GREEDY, 0, quiet_log)
    assert rollout.text.startswith("a\ufffd") and rollout.text.encode()


NUMBERS = [None, "-0.5", True, float("1e999"), 10**400, [], {}]


@pytest.mark.parametrize("value", NUMBERS, ids=range(len(NUMBERS)))
@pytest.mark.parametrize("chat", [True, False])
def test_log_probabilities_that_are_none_are_an_answer_that_cannot_be_used(stub, engine, ask, quiet_log, value, chat):
    def reply(body: dict[str, Any]) -> dict[str, Any]:
        drawn = spoken(body)["choices"][0]
        place = drawn["logprobs"]["content"][2]["top_logprobs"][0] if chat else drawn["logprobs"]["top_logprobs"][2]
        place["logprob" if chat else "y"] = value
        return {"choices": [drawn]}

    stub.reply = reply
    with pytest.raises(EngineError, match=r"failed 2 times, .*unusable"):
        engine(chat=chat, logprobs=True, retries=1).sample(HERE, [ask("a")], 1, Sampling(tops=2), 0, quiet_log)
    if chat:
        stub.reply = lambda body: plain(body) | {"choices": [{"message": {"content": "x"}, "logprobs": value}]}
        with pytest.raises(EngineError, match=r"unusable|no log-probabilities"):
            engine(logprobs=True, retries=0).sample(HERE, [ask("a")], 1, GREEDY, 0, quiet_log)


ROWS = {
    "NaN": '[{"index": 0, "embedding": [NaN, 1]}, {"index": 1, "embedding": [1, 1]}]',
    "too large": '[{"index": 0, "embedding": [1e39, 1]}, {"index": 1, "embedding": [1, 1]}]',
    "endless": '[{"index": 0, "embedding": [1e999, 1]}, {"index": 1, "embedding": [1, 1]}]',
    "of two lengths": '[{"index": 0, "embedding": [1, 2]}, {"index": 1, "embedding": [1]}]',
    "empty": '[{"index": 0, "embedding": []}, {"index": 1, "embedding": []}]',
    "one twice": '[{"index": 0, "embedding": [1]}, {"index": 0, "embedding": [1]}]',
    "another number": '[{"index": 0, "embedding": [1]}, {"index": 2, "embedding": [1]}]',
    "a text": '[{"index": 0, "embedding": "AACAPw=="}, {"index": 1, "embedding": "AACAPw=="}]',
    "deep": '[{"index": 0, "embedding": [[1]]}, {"index": 1, "embedding": [[1]]}]',
}


@pytest.mark.parametrize("rows", ROWS.values(), ids=ROWS)
def test_embeddings_that_are_none_are_an_answer_that_cannot_be_used(stub, engine, rows):
    stub.script = [f'{{"data": {rows}}}'.encode()] * 2
    with pytest.raises(EngineError, match="embeddings failed 2 times.*unusable"):
        engine(retries=1).embed(HERE, ["a", "b"])


def test_embeddings_of_another_length_than_before_are_an_answer_that_cannot_be_used(stub, engine, monkeypatch):
    monkeypatch.setattr(endpoint_embeddings, "PART", 1)
    stub.script = [b'{"data": [{"index": 0, "embedding": [1]}]}', b'{"data": [{"index": 0, "embedding": [1, 2]}]}']
    with pytest.raises(EngineError, match="embeddings of different lengths"):
        engine(retries=0, concurrency=1).embed(HERE, ["a", "b"])


def test_an_answer_that_takes_too_long_is_tried_again(stub, engine, ask, quiet_log):
    stub.script = ["slow"]
    assert texts(engine(timeout=0.1).sample(HERE, [ask("a")], 1, GREEDY, 0, quiet_log)) == [["a/greedy"]]
    assert len(stub.bodies) == 2


def test_a_server_that_is_down_is_one_clear_line(stub, engine, ask, quiet_log):
    down = engine(retries=1, base_url="http://127.0.0.1:9/v1")  # the discard port: nobody listens
    with pytest.raises(EngineError, match=r"127.0.0.1:9/v1/chat/completions failed 2 times.*ConnectError"):
        down.sample(HERE, [ask("a")], 1, GREEDY, 0, quiet_log)


@pytest.mark.parametrize(
    ("status", "hint"), [(400, ""), (401, "key right"), (404, "model right"), (422, ""), (301, "")]
)
def test_a_refusal_is_not_tried_again(stub, engine, ask, quiet_log, status, hint):
    stub.script = [(status, {"Location": "http://127.0.0.1:9/"})]
    with pytest.raises(EngineError, match=rf"answers {status} .*try .*later.*{hint}"):
        engine().sample(HERE, [ask("a")], 1, GREEDY, 0, quiet_log)
    assert len(stub.bodies) == 1


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_no_redirect_takes_the_key_elsewhere(stub, engine, ask, quiet_log, monkeypatch, status):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    stub.script = [(status, {"Location": f"{stub.url}/elsewhere"})]
    with pytest.raises(EngineError, match="Redirects are not followed; put the last address into base_url"):
        engine(api_key_env="OPENAI_API_KEY").sample(HERE, [ask("a")], 1, GREEDY, 0, quiet_log)
    assert stub.paths == ["/v1/chat/completions"]


def test_a_server_on_this_machine_is_asked_without_the_proxy_of_the_environment(
    stub, engine, ask, quiet_log, monkeypatch
):
    monkeypatch.delenv("NO_PROXY")
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert texts(engine(retries=0).sample(HERE, [ask("a")], 1, GREEDY, 0, quiet_log)) == [["a/greedy"]]


@pytest.mark.parametrize(
    ("name", "value"), [("HTTPS_PROXY", "ftp://x"), ("ALL_PROXY", "x\x01"), ("SSL_CERT_FILE", "/no/such/file")]
)
def test_a_proxy_or_certificates_that_cannot_be_used_are_one_line(ask, engine, quiet_log, monkeypatch, name, value):
    monkeypatch.setenv("SELFIMPROVE_ENDPOINTS", "example.invalid")
    monkeypatch.setenv(name, value)
    away = engine(base_url="https://example.invalid/v1", retries=0)
    with pytest.raises(EngineError, match="environment's proxies and certificates: .*SSL_CERT_DIR$") as caught:
        away.sample(HERE, [ask("a")], 1, GREEDY, 0, quiet_log)
    assert "\n" not in str(caught.value)


def test_one_request_that_fails_for_good_ends_the_call_and_what_was_spent_is_told(stub, engine, ask, quiet_log):
    stub.script = [None, None, (400, {})]
    with pytest.raises(EngineError):
        engine(concurrency=1).sample(HERE, [ask(str(i)) for i in range(9)], 1, GREEDY, 0, quiet_log)
    assert len(stub.bodies) == 3 and quiet_log.metrics["openai/prompt_tokens"] == 20


# ---- a step that is stopped ----------------------------------------------------------------------------------------
@pytest.fixture
def attempt(quiet_log: Any, tmp_path: Path) -> Callable[..., Any]:
    """`attempt(engine, prompts, n)`: a step as far as it gets, as (groups or the error, metrics, how many were kept)."""

    def make(made: OpenAI, prompts: list[Any], n: int = 1) -> Any:
        log, kept = type(quiet_log)(), Journal(tmp_path / "journal", "step")
        try:
            drawn: Any = kept.before("engine", made).sample(HERE, prompts, n, Sampling(), 7, log)
        except EngineError as error:
            drawn = error
        kept.write()
        return drawn, log.metrics, kept.reused

    return make


@pytest.mark.runs
@pytest.mark.parametrize("concurrency", [1, 4])
@pytest.mark.parametrize("samples", [1, 5])
def test_a_failing_endpoint_loses_no_answer(stub, engine, ask, quiet_log, attempt, concurrency, samples, monkeypatch):
    """Request 13 is refused, once the others beside it are under way; these are answered when that has been read."""
    prompts = [ask(str(i)) for i in range(25 // samples)]
    whole = engine().sample(HERE, prompts, samples, Sampling(), 7, quiet_log)
    beside, first = threading.Barrier(concurrency), 12 + concurrency
    refused = threading.Event()

    def before(number: int) -> None:
        if 13 <= number <= first:
            beside.wait(10)
        if 13 < number <= first:
            assert refused.wait(10)

    def read(text: str) -> str:
        if text.startswith("400"):
            refused.set()
        return text

    monkeypatch.setattr(endpoint, "printable", read)
    stub.script, stub.bodies, stub.before = [*[None] * 12, (400, {})], [], before
    error, spent, _ = attempt(engine(concurrency=concurrency), prompts, samples)
    assert isinstance(error, EngineError) and len(stub.bodies) == first
    stub.before = lambda number: None
    assert spent["openai/requests"] == first and spent["openai/prompt_tokens"] == 10 * (first - 1)
    groups, metrics, reused = attempt(engine(prompt_price=1.0), prompts, samples)
    assert texts(groups) == texts(whole) and reused == first - 1
    assert len(stub.bodies) == 25 + 1 and metrics["openai/requests"] == 26, "all 25 once, and the one that failed"
    assert metrics["openai/prompt_tokens"] == 250 and metrics["openai/completion_tokens"] == 75
    assert metrics["openai/cost"] == pytest.approx(250 / 1e6)
    assert attempt(engine(), prompts, samples)[0] == groups and len(stub.bodies) == 26


@pytest.mark.long
def test_what_was_under_way_when_another_failed_is_waited_for_and_nothing_else_is_begun(stub, engine, ask, attempt):
    stub.script = ["slow", "slow", (503, {"Retry-After": "200"}), (400, {})]
    began = time.monotonic()
    error, spent, _ = attempt(engine(concurrency=4), [ask(str(i)) for i in range(25)])
    assert isinstance(error, EngineError) and "answers 400" in str(error)
    assert time.monotonic() - began < 5, "who waits for another try does not hold up the end"
    assert len(stub.bodies) == 4 and spent["openai/prompt_tokens"] == 20
    _, _, reused = attempt(engine(), [ask(str(i)) for i in range(25)])
    assert reused == 2 and len(stub.bodies) == 4 + 23


def test_an_answer_is_in_the_journal_before_the_call_is_over(stub, engine, ask, quiet_log, monkeypatch, tmp_path):
    monkeypatch.setattr(journal, "SECONDS", 0.0)
    prompts, kept = [ask(str(i)) for i in range(9)], Journal(tmp_path / "journal", "step")

    def progress(done: int, total: int, unit: str) -> None:
        if done == 6:
            raise KeyboardInterrupt  # and nobody writes the journal

    monkeypatch.setattr(quiet_log, "progress", progress)
    with pytest.raises(KeyboardInterrupt):
        kept.before("engine", engine(concurrency=1)).sample(HERE, prompts, 1, GREEDY, 7, quiet_log)
    answers = Journal(tmp_path / "journal", "step").answers("OpenAI")
    assert sum("completion" in one for one in answers.values()) == 6 and answers["tally"]["requests"] == 6


OTHER: list[Any] = [None, 7, [], {}, {"completion": []}, {"completion": [{"role": "assistant", "content": 1}]}]
OTHER += [{"completion": [{"role": "assistant", "content": "x"}], "logprobs": {"sum": "1"}, "info": {}}]
OTHER += [{"completion": [{"role": "assistant", "content": "x"}], "logprobs": None, "info": {}, "x": 1}]


@pytest.mark.parametrize("value", OTHER, ids=range(len(OTHER)))
def test_a_kept_answer_of_another_form_is_asked_for_again_and_set_aside(stub, engine, ask, quiet_log, tmp_path, value):
    first = Journal(tmp_path / "journal", "step")
    first.before("engine", engine()).sample(HERE, [ask("a")], 1, GREEDY, 7, quiet_log)
    answers = first.answers("OpenAI")
    [name] = set(answers) - {"tally"}
    answers[name], answers["tally"] = value, {"requests": "many"}
    first.write()
    again = Journal(tmp_path / "journal", "step")
    [[rollout]] = again.before("engine", engine()).sample(HERE, [ask("a")], 1, GREEDY, 7, quiet_log)
    assert rollout.text == "a/greedy" and len(again.unusable) == 2 and again.reused == 0 and len(stub.bodies) == 2


def test_requests_in_flight_stay_as_many_as_asked_for(stub, engine, ask, attempt, monkeypatch):
    """No portion runs empty: the server answers four together or none."""
    monkeypatch.setattr(OpenAI, "portion", 2)
    four = threading.Barrier(4)
    stub.before = lambda number: four.wait(10)
    groups, _, _ = attempt(engine(concurrency=4, timeout=1.0, retries=0), [ask(str(i)) for i in range(40)])
    assert len(groups) == 40 and stub.most == 4


def test_two_roles_of_one_engine_have_one_bill(stub, engine, ask, quiet_log, tmp_path):
    made, kept = engine(), Journal(tmp_path / "journal", "step")
    for seed, role in enumerate(("judge", "hint")):
        kept.before(role, made).sample(HERE, [ask("a"), ask("b")], 1, Sampling(), seed, quiet_log)
    assert quiet_log.metrics["openai/requests"] == 4


def test_waits_double_with_jitter_and_follow_retry_after(stub):
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    place = endpoint.Endpoint(url=stub.url, key="", concurrency=1, timeout=5.0, retries=8, backoff=1.0, sleep=sleep)
    stub.script = [*[(500, {})] * 6, (429, {"Retry-After": "90"}), (429, {"Retry-After": "1"})]
    place.ask(
        [{"prompt": "a", "seed": 0, "temperature": 0}], lambda _, answer: answer, endpoint.Tally(), lambda *_: None
    )
    longest = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0]
    assert all(top / 2 <= wait <= top for wait, top in zip(waits, longest, strict=False))
    assert waits[6] == 90.0 and 30.0 <= waits[7] <= 60.0 and len(waits) == 8


@pytest.mark.parametrize(
    ("header", "low", "high"),
    [
        ("7", 7, 7),
        ("0.5", 0.5, 0.5),
        ("86400", 300, 300),
        ("", 0, 0),
        ("soon", 0, 0),
        ("nan", 0, 0),
        ("1e9", 0, 0),
        ("9" * 5000, 0, 0),
        ("99999999999", 300, 300),
        ("1_0", 0, 0),
        ("\u0661", 0, 0),
        ("Fri, 31 Dec 9999 23:59:59 -9999", 0, 300),
        ("Wed, 99 Foo 99999 99:99:99 GMT", 0, 0),
        ("-3", 0, 0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0, 0),
        ("Wed, 21 Oct 2099 07:28:00 GMT", 300, 300),
    ],
)
def test_what_retry_after_says(header, low, high):
    assert low <= endpoint.asked_to_wait(header) <= high


@pytest.mark.faults
def test_a_run_whose_endpoint_fails_pays_for_each_answer_once_and_counts_all(stub, make_run):
    options = ("engine=openai", f"engine.openai.base_url={stub.url}", "engine.openai.model=m", "rounds=0")
    sizes = ("gate_problems=10", "audit_problems=0", "sealed_problems=10", "probe_problems=0", "evaluation=accuracy")
    folder, log = make_run(*options, *sizes, "engine.openai.concurrency=2", "control_problems=0")
    stub.script = [*[None] * 5, (400, {})]
    with pytest.raises(EngineError):
        Runner(folder, log).run()
    before = len(stub.bodies)
    Runner(folder, log).run()
    assert len(stub.bodies) == 10 + 1 + 10, "the exam of round 0, the one that failed, and the sealed exam"
    metrics = folder.manifest(0, "evaluation")["metrics"]
    assert (metrics["openai/requests"], metrics["openai/prompt_tokens"]) == (11, 100)
    assert folder.manifest(0, "sealed")["metrics"]["openai/requests"] == 10, "another step, another bill"
    assert f"reused {before - 1} completions and scores from before the interruption" in log.notes


# ---- keys and money ----------------------------------------------------------------------------------------------
def test_the_key_is_sent_and_shown_nowhere(stub, engine, ask, quiet_log, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY + "\n")
    keyed = engine(api_key_env="OPENAI_API_KEY", retries=0)
    keyed.sample(HERE, [ask("a")], 1, GREEDY, 0, quiet_log)
    assert stub.headers[0]["Authorization"] == f"Bearer {KEY}"
    assert KEY not in repr(keyed) + repr(vars(keyed)) + json.dumps(stub.bodies)
    stub.reply = lambda body: {"echo": KEY}
    with pytest.raises(EngineError) as caught:
        keyed.sample(HERE, [ask("b")], 1, GREEDY, 0, quiet_log)
    assert KEY not in str(caught.value) and "***" in str(caught.value)
    assert KEY not in str(caught.value.__cause__)


@pytest.mark.parametrize(
    "key", ["sk-secret\nsecret", "sk-secret\rx", "sk secret", "sk-secret\x7f", "sk-secret\u2028x", "\xe4secret"]
)
def test_a_key_that_no_header_can_hold_is_refused_and_not_shown(stub, engine, ask, quiet_log, monkeypatch, key):
    monkeypatch.setenv("MY_KEY", key)
    with pytest.raises(EngineError, match="MY_KEY holds a space, a line break or another character") as caught:
        engine(api_key_env="MY_KEY").sample(HERE, [ask("a")], 1, GREEDY, 0, quiet_log)
    assert "secret" not in str(caught.value) and not stub.bodies


@pytest.mark.parametrize("name", ["n", "stream", "messages"])
def test_what_belongs_to_the_engine_is_not_set_beside_it(name):
    with pytest.raises(RecipeError, match=f"extra cannot set '{name}'"):
        OpenAI(base_url="http://127.0.0.1/v1", model="m", extra={name: 2})


def test_a_missing_key_is_an_engine_error_that_names_the_variable(stub, engine, ask, quiet_log, monkeypatch):
    monkeypatch.delenv("MY_KEY", raising=False)
    with pytest.raises(EngineError, match="MY_KEY is not set"):
        engine(api_key_env="MY_KEY").sample(HERE, [ask("a")], 1, GREEDY, 0, quiet_log)
    assert stub.bodies == []


@pytest.mark.parametrize("key", [KEY, "hf_abcdef", "my key 1", "AB-C"])
def test_a_key_for_a_name_is_refused_and_not_shown(key):
    with pytest.raises(RecipeError, match="name of an environment variable") as caught:
        OpenAI(base_url="http://x/v1", model="m", api_key_env=key)
    assert key not in str(caught.value)


def test_a_key_in_a_recipe_is_refused_before_it_is_stored_anywhere(make_recipe, tmp_path):
    from selfimprove.loop import begin

    options = f"{{openai: {{base_url: http://x/v1, model: m, api_key_env: {KEY}}}}}"
    recipe = make_recipe(f"defaults: [{{engine: openai}}]\nengine: {options}\n")
    with pytest.raises(RecipeError, match="name of an environment variable"):
        begin.create(str(recipe), [], tmp_path / "run")
    assert not (tmp_path / "run").exists()


ADDRESSES = [
    "127.0.0.1:8000/v1",
    "ftp://x/v1",
    "https://me:secret@x/v1",
    "http://x:99999/v1",
    "http://x:-1/",
    "http://",
]
ADDRESSES += [
    "http://x:80:80/",
    "http://[::1/v1",
    "http://x y/",
    "http://127.0.0.1\\@secret/v1",
    "http://x/v1?secret=1",
]
ADDRESSES += [
    "http://x/#secret",
    "http://x\n/v1",
    "http://x\x00/v1",
    "http://\u2100/v1",
    f"http://{'a' * 64}/v1",
    "http://a b",
]


@pytest.mark.parametrize("url", ADDRESSES)
def test_an_address_that_cannot_be_used_is_refused(url):
    with pytest.raises(RecipeError, match="base_url must be an http") as caught:
        OpenAI(base_url=url, model="m")
    assert "secret" not in str(caught.value)


def test_tokens_and_money_add_up_over_the_calls_of_a_step(stub, engine, ask, quiet_log):
    priced = engine(prompt_price=2.0, completion_price=10.0)
    stub.script = [(503, {}), b'{"choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": 1}}']
    for seed in (0, 1):
        priced.sample(HERE, [ask("a"), ask("b")], 2, Sampling(), seed, quiet_log)
    priced.sample(HERE, [ask("b")], 1, Sampling(), 1, quiet_log)  # it was asked for
    counted = {name.removeprefix("openai/"): value for name, value in quiet_log.metrics.items()}
    assert counted == {
        "requests": 10,
        "retries": 2,
        "prompt_tokens": 90,  # eight answers and one that could not be used and was billed all the same
        "completion_tokens": 25,
        "cost": pytest.approx((90 * 2.0 + 25 * 10.0) / 1e6),
    }
    again = type(quiet_log)()
    engine().sample(HERE, [ask("a")], 1, GREEDY, 0, again)
    priced.sample(HERE, [ask("a")], 1, GREEDY, 0, again)
    assert again.metrics["openai/requests"] == 1, "another step, another bill"
    assert "openai/cost" in again.metrics


def test_no_statistic_can_be_scored(engine, make_rollout):
    for statistic in ("logprob", "entropy"):
        with pytest.raises(RecipeError, match=f"no statistic '{statistic}'.*engine=transformers"):
            engine().logprobs_of(HERE, [make_rollout()], statistic)


def test_a_recipe_cannot_send_a_key_to_a_host_that_the_environment_does_not_allow(engine, monkeypatch):
    """A stranger's recipe may name any variable and any host."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", KEY)
    evil = engine(base_url="https://evil.invalid/v1", api_key_env="AWS_SECRET_ACCESS_KEY", retries=0)
    for allowed in ("", "api.openai.com", "evil.invalid.org", "invalid"):
        monkeypatch.setenv("SELFIMPROVE_ENDPOINTS", allowed)
        with pytest.raises(EngineError, match="allow it: SELFIMPROVE_ENDPOINTS=evil.invalid") as caught:
            evil.preflight()
        assert KEY not in str(caught.value)
    monkeypatch.setenv("SELFIMPROVE_ENDPOINTS", "api.openai.com, evil.invalid")
    assert key_for(evil.base_url, evil.api_key_env) == KEY
