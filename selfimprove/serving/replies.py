"""Answers in the form of OpenAI's endpoints: whole, or as the chunks of a stream."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from selfimprove.inference.drawn import messages_of
from selfimprove.records import Rollout
from selfimprove.serving.requests import PLAIN, Asked
from selfimprove.serving.served import Served

UNFINISHED = "\ufffd"
"""What a tokenizer gives for the first bytes of a character."""


@dataclass
class Reply:
    """The answer to one request."""

    served: Served
    asked: Asked
    prompt_tokens: int
    made: int = field(default_factory=lambda: int(time.time()))
    id: str = ""

    def __post_init__(self) -> None:
        self.id = f"{'chatcmpl' if self.asked.chat else 'cmpl'}-{secrets.token_hex(12)}"

    # ---- whole ------------------------------------------------------------------------------------------------------
    def whole(self, rollouts: Sequence[Rollout]) -> dict[str, Any]:
        """The body of an answer that is given at once."""
        name = "message" if self.asked.chat else "text"
        choices = [
            {
                "index": place,
                name: self._said(one),
                "logprobs": None,
                "finish_reason": reason_of(one),
                "stop_reason": one.info.get("stop_string"),
            }
            for place, one in enumerate(rollouts)
        ]
        kind = "chat.completion" if self.asked.chat else "text_completion"
        return {**self._head(kind), "choices": choices, "usage": self.usage(rollouts), "selfimprove": self.facts()}

    def _said(self, rollout: Rollout) -> Any:
        text = self.text(rollout)
        if not self.asked.chat:
            return text
        thought = rollout.completion[-1].get("thinking")
        return {"role": "assistant", "content": text, **({"reasoning_content": thought} if thought else {})}

    def text(self, rollout: Rollout) -> str:
        """The text of an answer; the stop string that ended it is left out unless the request keeps it."""
        text, stop = str(rollout.text), rollout.info.get("stop_string")
        return text[: text.rindex(stop)] if stop and stop in text and not self.asked.keep_stop else text

    def usage(self, rollouts: Sequence[Rollout]) -> dict[str, int]:
        """The numbers of tokens; of a refined answer all that were drawn for it."""
        drawn = sum(tokens_of(one) for one in rollouts)
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": drawn,
            "total_tokens": self.prompt_tokens + drawn,
        }

    def facts(self) -> dict[str, Any]:
        """Whether this answer was made as those of the exam were."""
        shorter = self.asked.limit < self.served.policy.engine.longest()
        differs = [*(["plain samples"] if self.asked.plain and self.served.policy.chain else [])]
        differs += [f"at most {self.asked.limit} tokens"] if shorter else []
        return {
            "refinement": [] if self.asked.plain else self.served.refinements,
            "examined": self.served.examined and not differs,
            "differs": [*self.served.differs, *differs],
            "ignored": list(self.asked.ignored),
        }

    def _head(self, kind: str) -> dict[str, Any]:
        name = self.served.name + (PLAIN if self.asked.plain and self.served.policy.chain else "")
        return {"id": self.id, "object": kind, "created": self.made, "model": name}

    # ---- in chunks --------------------------------------------------------------------------------------------------
    def chunk(self, place: int, text: str, thought: str = "", reason: str | None = None, first: bool = False) -> str:
        """An event of a stream."""
        choice: dict[str, Any] = {"index": place, "finish_reason": reason, "logprobs": None}
        if self.asked.chat:
            delta: dict[str, Any] = {"role": "assistant"} if first else {}
            delta |= {"content": text} if text or not thought else {}
            delta |= {"reasoning_content": thought} if thought else {}
            choice["delta"] = {} if reason else delta
        else:
            choice["text"] = text
        kind = "chat.completion.chunk" if self.asked.chat else "text_completion"
        return event({**self._head(kind), "choices": [choice]})

    def last(self, rollouts: Sequence[Rollout]) -> str:
        """The event with what was examined and the numbers of tokens, and the end of a stream."""
        kind = "chat.completion.chunk" if self.asked.chat else "text_completion"
        body = {**self._head(kind), "choices": [], "selfimprove": self.facts()}
        if self.asked.usage:
            body["usage"] = self.usage(rollouts)
        return event(body) + "data: [DONE]\n\n"


class Growing:
    """The text of an answer while its tokens come."""

    def __init__(self, tokenizer: Any, stops: Sequence[str] = ()) -> None:
        """Args:
        stops: strings that end the answer and are left out of its text.
        """
        self._tokenizer, self._stops, self._ids = tokenizer, stops, list[int]()
        self._given = {"text": "", "thought": ""}

    def hear(self, tokens: Sequence[tuple[int, int]]) -> tuple[str, str]:
        """What reply and thought gain by these tokens with their places; what may not be complete waits.

        A token that was heard before, because its batch began again, is left out.
        """
        for place, token in tokens:
            if place == len(self._ids):
                self._ids.append(token)
        [said] = messages_of(self._tokenizer, [self._ids])
        text, thought = said["content"].rstrip(UNFINISHED), said.get("thinking", "").rstrip(UNFINISHED)
        return self.rest(text[: _before(text, self._stops)], thought)

    def rest(self, text: str, thought: str) -> tuple[str, str]:
        """What text and thought have beyond what was given."""
        return self._more("text", text), self._more("thought", thought)

    def _more(self, name: str, now: str) -> str:
        before = self._given[name]
        if not now.startswith(before):
            return ""
        self._given[name] = now
        return now[len(before) :]


def _before(text: str, stops: Sequence[str]) -> int:
    """Where a stop string begins in a text, or may begin at its end; else the text's length."""
    ends = [len(text)]
    for stop in stops:
        if (found := text.find(stop)) >= 0:
            ends.append(found)
        ends += [len(text) - size for size in range(1, len(stop)) if text.endswith(stop[:size])]
    return min(ends)


def reason_of(rollout: Rollout) -> str:
    """Why an answer ended."""
    cut = rollout.info.get("spent", {}).get("cut", 0)
    return "length" if rollout.truncated or cut else "stop"


def tokens_of(rollout: Rollout) -> int:
    """Tokens drawn for an answer."""
    spent = rollout.info.get("spent", {}).get("tokens")
    return int(spent if spent is not None else (rollout.logprobs or {}).get("count", 0))


def event(body: Any) -> str:
    """A server-sent event."""
    return f"data: {json.dumps(body, ensure_ascii=False)}\n\n"


def failure(said: str, code: int, field: str | None = None) -> dict[str, Any]:
    """The body of a refusal."""
    kind = "invalid_request_error" if code < 500 else "server_error"
    return {"error": {"message": said, "type": kind, "param": field, "code": code}}
