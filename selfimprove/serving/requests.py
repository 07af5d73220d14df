"""Reads the bodies of requests; whatever is wrong with one is said in one line. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from selfimprove.foreign import bounded_json
from selfimprove.interfaces import Sampling
from selfimprove.records import Message

SPOKEN = ("system", "developer", "user", "assistant", "tool")
"""The roles that a message may have."""
PLAIN = ":samples"
"""What the name of the model ends with, where plain samples are asked for."""
UNSERVED = {
    "tools": None,
    "tool_choice": "none",
    "functions": None,
    "logprobs": (False, 0),
    "top_logprobs": 0,
    "echo": False,
    "suffix": "",
    "logit_bias": {},
    "response_format": {"type": "text"},
    "best_of": 1,
    "frequency_penalty": 0,
    "presence_penalty": 0,
}
"""Fields that are refused, except with a value that asks for nothing."""
DRAWN = ("temperature", "top_p", "top_k", "min_p", "seed")
"""Fields that say how samples are drawn."""
MOST_SAMPLES, MOST_STOPS = 128, 16
"""Most answers to one request, and most stop strings."""


class BadRequest(Exception):
    """A request that cannot be served: what is wrong, and the field."""

    def __init__(self, said: str, field: str | None = None, code: int = 400) -> None:
        super().__init__(said)
        self.field, self.code = field, code


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What one request asks for."""

    talks: tuple[tuple[Message, ...], ...]
    """The prompts; a chat has one."""
    chat: bool
    plain: bool
    """Plain samples, drawn as `sampling` says, instead of answers by the refinements."""
    n: int
    limit: int
    """Most tokens of an answer."""
    sampling: Sampling
    seed: int | None
    stream: bool
    usage: bool
    """Whether a stream ends with the numbers of tokens."""
    keep_stop: bool
    """Whether the text keeps the stop string that ended it."""
    ignored: tuple[str, ...]
    """Fields that the refinements do not follow."""

    @property
    def rows(self) -> int:
        """Answers in all."""
        return len(self.talks) * self.n


def read(raw: bytes, chat: bool, name: str, longest: int, refined: bool) -> Asked:
    """What a body asks for.

    Args:
        name: the served model's.
        longest: most tokens of an answer.
        refined: whether the model of this name answers with refinements, which decide how samples are drawn.

    Raises:
        BadRequest: it cannot be served.
    """
    try:
        body = bounded_json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"the body is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise BadRequest("the body is not a JSON object")
    for key, nothing in UNSERVED.items():
        if body.get(key) is not None and not _is(body[key], nothing):
            raise BadRequest(f"{key!r} is not served here; leave it out", key)
    model = body.get("model", name)
    if model not in (name, name + PLAIN):
        raise BadRequest(
            f"no model is called {str(model)[:80]!r}; GET /v1/models lists {name!r} and more", "model", 404
        )
    plain = not refined or model == name + PLAIN
    limits = [body[key] for key in ("max_completion_tokens", "max_tokens") if body.get(key) is not None]
    limit = min(longest, _whole(limits[0], "max_tokens", 1, None) if limits else longest)
    sampling, stops = _sampling(body, limit), _stops(body)
    if stops and not plain:
        raise BadRequest(f"the refinements take no stop strings; ask the model {name + PLAIN!r}", "stop")
    stream = _flag(body, "stream")
    return Asked(
        talks=_chat(body) if chat else _texts(body),
        chat=chat,
        plain=plain,
        n=_whole(body.get("n") or 1, "n", 1, MOST_SAMPLES),
        limit=limit,
        sampling=sampling,
        seed=None if body.get("seed") is None else _whole(body["seed"], "seed", -(1 << 63), 1 << 64),
        stream=stream,
        usage=stream and _flag(body.get("stream_options") or {}, "include_usage"),
        keep_stop=_flag(body, "include_stop_str_in_output"),
        ignored=() if plain else tuple(key for key in DRAWN if body.get(key) is not None and key != "seed"),
    )


def _is(value: Any, nothing: Any) -> bool:
    """Whether a value asks for nothing; an empty list or object never asks."""
    return value in nothing if isinstance(nothing, tuple) else value == nothing or value in ([], {})


def _sampling(body: Mapping[str, Any], limit: int) -> Sampling:
    return Sampling(
        temperature=_number(body, "temperature", 1.0, 0, 100),
        top_p=_number(body, "top_p", 1.0, 0, 1) or 1e-6,
        top_k=_whole(body.get("top_k") or 0, "top_k", -1, None) if body.get("top_k") != -1 else 0,
        min_p=_number(body, "min_p", 0.0, 0, 1),
        max_completion_length=limit,
        stop=_stops(body),
    )


def _stops(body: Mapping[str, Any]) -> tuple[str, ...]:
    found = body.get("stop") or []
    found = [found] if isinstance(found, str) else found
    if not isinstance(found, list) or len(found) > MOST_STOPS or not all(isinstance(s, str) and s for s in found):
        raise BadRequest(f"'stop' takes a text or a list of at most {MOST_STOPS} texts", "stop")
    return tuple(found)


def _chat(body: Mapping[str, Any]) -> tuple[tuple[Message, ...], ...]:
    given = body.get("messages")
    if not isinstance(given, list) or not given:
        raise BadRequest("'messages' must be a list of messages", "messages")
    talk = tuple(_message(one, place) for place, one in enumerate(given))
    if talk[-1]["role"] == "assistant" and not body.get("continue_final_message"):
        raise BadRequest(
            "the last message is the assistant's: set continue_final_message=true to have it continued", "messages"
        )
    return (talk,)


def _message(given: Any, place: int) -> Message:
    where = f"messages[{place}]"
    if not isinstance(given, dict) or given.get("role") not in SPOKEN:
        raise BadRequest(f"{where} needs a role: {', '.join(SPOKEN)}", "messages")
    content = given.get("content")
    if isinstance(content, list):  # parts, of which only texts can be read
        if not all(isinstance(part, dict) and isinstance(part.get("text"), str) for part in content):
            raise BadRequest(f"{where}: only text can be read", "messages")
        content = "".join(part["text"] for part in content)
    if not isinstance(content, str):
        raise BadRequest(f"{where}: 'content' must be a text", "messages")
    role = "system" if given["role"] == "developer" else given["role"]
    made: Message = {"role": role, "content": content}
    thought = given.get("reasoning_content")
    if role == "assistant" and isinstance(thought, str) and thought:
        made["thinking"] = thought
    return made


def _texts(body: Mapping[str, Any]) -> tuple[tuple[Message, ...], ...]:
    given = body.get("prompt")
    given = [given] if isinstance(given, str) else given
    if not isinstance(given, list) or not given or not all(isinstance(one, str) for one in given):
        raise BadRequest("'prompt' must be a text or a list of texts; lists of tokens cannot be read", "prompt")
    if len(given) > MOST_SAMPLES:
        raise BadRequest(f"'prompt' holds {len(given)} texts, at most {MOST_SAMPLES} are answered at once", "prompt")
    return tuple(({"role": "user", "content": one},) for one in given)


def _number(body: Mapping[str, Any], key: str, usual: float, low: float, high: float) -> float:
    value = body.get(key)
    if value is None:
        return usual
    if type(value) not in (int, float) or not math.isfinite(value) or not low <= value <= high:
        raise BadRequest(f"{key!r} must be a number from {low:g} to {high:g}", key)
    return float(value)


def _whole(value: Any, key: str, low: int, high: int | None) -> int:
    if type(value) is not int or value < low or (high is not None and value > high):
        raise BadRequest(f"{key!r} must be a whole number from {low}{'' if high is None else f' to {high}'}", key)
    return value


def _flag(body: Any, key: str) -> bool:
    value = body.get(key) if isinstance(body, dict) else None
    if value not in (None, True, False):
        raise BadRequest(f"{key!r} must be true or false", key)
    return bool(value)
