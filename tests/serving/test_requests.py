"""What a body asks for, and what is said of one that cannot be served."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfimprove.interfaces import Sampling
from selfimprove.serving.requests import Asked, BadRequest, read

TALK = [{"role": "user", "content": "hello"}]


def asked(chat: bool = True, refined: bool = True, **body: Any) -> Asked:
    given = {"messages": TALK} if chat else {"prompt": "hello"}
    return read(json.dumps({**given, **body}).encode(), chat, "m", 64, refined)


def test_what_a_request_says_is_read() -> None:
    found = asked(model="m:samples", temperature=0.5, top_p=0.9, top_k=-1, n=3, seed=7, stop="\n", max_tokens=10)
    assert found.sampling == Sampling(temperature=0.5, top_p=0.9, max_completion_length=10, stop=("\n",))
    assert (found.plain, found.n, found.seed, found.limit, found.rows, found.ignored) == (True, 3, 7, 10, 3, ())
    assert asked(max_completion_tokens=5, max_tokens=9).limit == 5
    assert asked(max_tokens=1000).limit == 64  # a bound above the engine's changes nothing
    assert asked(temperature=0.5, seed=1).ignored == ("temperature",)  # the refinement decides
    assert asked(temperature=0.5, refined=False).plain and not asked(refined=False, temperature=0.5).ignored
    texts = asked(chat=False, prompt=["a", "b"], n=2)
    assert [talk[0]["content"] for talk in texts.talks] == ["a", "b"] and texts.rows == 4
    parts = [{"role": "developer", "content": [{"type": "text", "text": "be"}, {"type": "text", "text": " brief"}]}]
    assert asked(messages=[*parts, *TALK]).talks[0][0] == {"role": "system", "content": "be brief"}
    assert asked(stream=True, stream_options={"include_usage": True}).usage
    assert asked(tools=[], logprobs=False, response_format={"type": "text"}, logit_bias={}).n == 1  # asks for nothing
    continued = [*TALK, {"role": "assistant", "content": "I"}]
    assert asked(messages=continued, continue_final_message=True).talks[0][-1]["content"] == "I"


@pytest.mark.parametrize(
    ("body", "field", "said"),
    [
        ({"messages": []}, "messages", "list of messages"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages", "needs a role"),
        ({"messages": [{"role": "user", "content": 3}]}, "messages", "must be a text"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages", "only text"),
        ({"messages": [*TALK, {"role": "assistant", "content": "I"}]}, "messages", "continue_final_message"),
        ({"model": "gpt"}, "model", "no model is called 'gpt'"),
        ({"n": 0}, None, ""),  # as if it were not there
        ({"n": 129}, "n", "from 1 to 128"),
        ({"temperature": "hot"}, "temperature", "a number"),
        ({"temperature": -1}, "temperature", "from 0"),
        ({"top_p": 2}, "top_p", "from 0 to 1"),
        ({"max_tokens": 1.5}, "max_tokens", "a whole number"),
        ({"max_tokens": True}, "max_tokens", "a whole number"),
        ({"stream": "yes"}, "stream", "true or false"),
        ({"stop": ["a"]}, "stop", "m:samples"),
        ({"stop": [1], "model": "m:samples"}, "stop", "at most 16 texts"),
        ({"tools": [{"type": "function"}]}, "tools", "not served here"),
        ({"logprobs": True}, "logprobs", "not served here"),
        ({"seed": "x"}, "seed", "a whole number"),
    ],
)
def test_a_request_that_cannot_be_served_is_told_why(body: dict[str, Any], field: str | None, said: str) -> None:
    if field is None:
        assert asked(**body).n == 1
        return
    with pytest.raises(BadRequest, match=said) as found:
        asked(**body)
    assert found.value.field == field and found.value.code == (404 if field == "model" else 400)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
KEYS = ("messages", "prompt", "model", "n", "temperature", "top_k", "max_tokens", "stop", "stream", "stream_options")


@given(st.binary(max_size=60) | st.dictionaries(st.sampled_from(KEYS), JSON).map(lambda b: json.dumps(b).encode()))
def test_no_body_does_anything_but_ask_or_be_refused(raw: bytes) -> None:
    for chat in (True, False):
        try:
            assert 1 <= read(raw, chat, "m", 64, True).rows <= 128 * 128
        except BadRequest as error:
            assert len(str(error)) < 400 and "\n" not in str(error)
