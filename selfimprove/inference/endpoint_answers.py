"""Convert an ask to requests for an OpenAI-compatible endpoint, and its answers back. Pure functions."""

from __future__ import annotations

import hashlib
import math
from itertools import accumulate
from typing import Any

from selfimprove.errors import EngineError
from selfimprove.foreign import bounded_json
from selfimprove.inference.stops import completed
from selfimprove.interfaces import Ask
from selfimprove.records import Prompt, Rollout

LONGEST_REASON = 100
"""Characters of the longest `finish_reason`."""


def samples(ask: Ask) -> range:
    """The numbers of the samples to request; greedy samples of one prompt are equal."""
    return range(ask.first, ask.first + ask.n) if ask.sampling.temperature > 0 else range(1)


def is_detailed(ask: Ask) -> bool:
    """Whether the tokens of an answer are needed, not only its text."""
    return bool(ask.sampling.stop or ask.sampling.note or ask.sampling.tops)


def said(choice: dict[str, Any], chat: bool, stop: list[str] | None, url: str) -> tuple[str, str]:
    """The text of a choice and why it ended; `stop` has the strings that the server was told to keep at the end.

    Raises:
        EngineError: the server removes stop strings and does not say which.
        ValueError: there is no text.
    """
    text = choice["message"]["content"] if chat else choice["text"]
    reason = choice.get("finish_reason") or "stop"
    if not isinstance(reason, str) or len(reason) > LONGEST_REASON:
        raise ValueError("no reason for the end")
    if text is None and (reason in ("length", "content_filter") or (chat and thought(choice))):
        text = ""  # truncated while thinking, withheld, or all of it was a thought
    if not isinstance(text, str):
        raise ValueError("no text")
    if stop is not None and reason == "stop" and completed(text, stop) is None:
        if "stop_reason" not in choice:
            raise EngineError(
                f"{url} removes stop strings and does not say which: set engine.openai.include_stop_str_in_output=false"
            )
        text += choice["stop_reason"] if isinstance(choice["stop_reason"], str) else ""
    return text, reason


def thought(choice: dict[str, Any]) -> str:
    """What the model thought, where the server tells it from the reply: vLLM, SGLang and others name it so."""
    found = (choice["message"].get(name) for name in ("reasoning_content", "reasoning"))
    return next((text for text in found if isinstance(text, str) and text), "")


def tokens_of(given: dict[str, Any], chat: bool) -> list[tuple[str, float, dict[str, float]]]:
    """Each token's text, its log-probability, and the top tokens with theirs, by the kind of endpoint.

    Raises:
        ValueError: they are of another form, or a number is missing.
    """
    if chat:
        lines = given.get("content") or []
        tops = [{top["token"]: top["logprob"] for top in one.get("top_logprobs") or ()} for one in lines]
        found = [(one.get("token", ""), one["logprob"], top) for one, top in zip(lines, tops, strict=True)]
    else:
        numbers = given.get("token_logprobs") or []
        texts = given.get("tokens") or [""] * len(numbers)
        tops = given.get("top_logprobs") or [{}] * len(numbers)
        found = list(zip(texts, numbers, (top or {} for top in tops), strict=True))
    if not all(isinstance(text, str) for token, _, top in found for text in (token, *top)):
        raise ValueError("a token that is not a text")
    return [
        (token, bounded_json.number(value), {text: bounded_json.number(one) for text, one in top.items()})
        for token, value, top in found
    ]


def is_answer(value: Any) -> bool:
    """Whether a value has the form of an answer: the fields of a rollout, and what was noted of its tokens."""
    try:
        [message], numbers, tokens = value["completion"], value["logprobs"], value.get("tokens", [])
        texts = [*message.values(), value["info"]["finish_reason"]]
        texts += [text for token, _, top in tokens for text in (token, *top)]
        known = [number for _, number, top in tokens for number in (number, *top.values())]
        known += [numbers["sum"], numbers["count"]] if numbers is not None else []
        fits = message["role"] == "assistant" and "content" in message
        fits = fits and value.keys() <= {"completion", "logprobs", "info", "tokens"}
        return fits and all(isinstance(text, str) for text in texts) and all(map(math.isfinite, known))
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError):
        return False


def rollout_of(ask: Ask, answer: dict[str, Any]) -> Rollout:
    """The text of an answer for this ask, cut after its first stop string if the server continued."""
    fields = {name: value for name, value in answer.items() if name != "tokens"}
    fields["completion"] = [{name: one[name] for name in ("role", "content", *one)} for one in answer["completion"]]
    if numbers := answer["logprobs"]:  # in this order, also where a journal has sorted them
        fields["logprobs"] = {"sum": numbers["sum"], "count": numbers["count"]}
    tokens = answer.get("tokens") or []
    text = answer["completion"][0]["content"]
    if found := completed(text, ask.sampling.stop):
        stop, end = found
        if end < len(text):
            ends = accumulate(len(token) for token, *_ in tokens)
            tokens = tokens[: sum(one < end for one in ends) + 1]
            total = round(float(sum(one[1] for one in tokens)), 4)
            fields["logprobs"] = {"sum": total, "count": len(tokens)} if tokens else None
        fields["completion"] = [{**fields["completion"][0], "content": text[:end]}]
        fields["info"] = {"finish_reason": "stop", "stop_string": stop}
    return Rollout(
        prompt=ask.prompt,
        **fields,
        noted={"logprob": [one[1] for one in tokens]} if tokens and "logprob" in ask.sampling.note else {},
        tops=[_likeliest(one[2], ask.sampling.tops) for one in tokens] if ask.sampling.tops else [],
    )


def _likeliest(given: dict[str, float], most: int) -> dict[str, float]:
    """Tokens by probability, most likely first; `/completions` adds the drawn token in any position."""
    return dict(sorted(given.items(), key=lambda one: (-one[1], one[0]))[:most])


def seed_of(seed: int, prompt: Prompt, sample: int) -> int:
    """A seed of 31 bits from prompt and sample; some servers take no larger ones."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{prompt.prompt!r}:{sample}".encode()).digest()[:4], "big") >> 1
