"""Concurrent requests with retries to an HTTP endpoint that may be slow, busy or broken.

Used by the engine `openai`. Retried are failed connections, timeouts, truncated or unreadable answers, and the status
codes 408, 409, 425, 429 and 5xx. Any other refusal ends the run at once.
"""

from __future__ import annotations

import asyncio
import email.utils
import itertools
import os
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from selfimprove.errors import EngineError
from selfimprove.safety.redaction import printable

AGAIN = (408, 409, 425, 429)
HINTS = {401: " Is the key right?", 403: " Is the key right?", 404: " Are base_url and model right?"}
LONGEST_BACKOFF = 60.0
"""Longest wait between two attempts in seconds, unless the endpoint asks for more."""
LONGEST_ASKED = 300.0
"""Longest Retry-After to follow, in seconds."""


HERE = ("localhost", "127.0.0.1", "::1")
ALLOWED = "SELFIMPROVE_ENDPOINTS"
"""The environment variable with the hosts that may get prompts and keys; a recipe alone cannot allow a host."""


def key_for(url: str, variable: str) -> str:
    """The key for an endpoint, from the environment; "" if no variable is named.

    Raises:
        EngineError: the host is not allowed, or the variable is not set.
    """
    host = urlsplit(url).hostname or ""
    if host not in (*HERE, *os.environ.get(ALLOWED, "").replace(",", " ").split()):
        raise EngineError(
            f"engine.openai would send prompts and a key to {host!r}, because the recipe says so. If you trust this "
            f"host, allow it: {ALLOWED}={host}"
        )
    if not variable:
        return ""
    key = os.environ.get(variable, "").strip()
    if not key:
        raise EngineError(f"engine.openai: the environment variable {variable} is not set; put the key there")
    return key


@dataclass
class Tally:
    """The usage of all requests."""

    requests: int = 0
    """Attempts, including failed ones."""
    retries: int = 0
    """Attempts after a failed one."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    """Tokens used, as the endpoint reports them."""


class _Failed(Exception):
    """A failed attempt that may be repeated."""

    def __init__(self, why: str, after: float = 0.0) -> None:
        super().__init__(why)
        self.after = after
        """Seconds that the endpoint asks to wait."""


@dataclass(kw_only=True)
class Endpoint:
    """An endpoint with its key, timeout and retries."""

    url: str
    key: str
    """Sent as bearer token; "" sends none."""
    concurrency: int
    timeout: float
    retries: int
    backoff: float
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    def ask(
        self,
        bodies: Sequence[Mapping[str, Any]],
        read: Callable[[int, dict[str, Any]], Any],
        tally: Tally,
        arrived: Callable[[int, Any], None],
    ) -> None:
        """Send all bodies; as each answer comes, call `arrived` with the index of its body and the result of `read`.

        Args:
            read: takes the index of the body and the answer's JSON; ValueError, LookupError and TypeError mean that the
                answer is unusable.

        Raises:
            EngineError: the endpoint refuses, or all attempts of a request failed. Then no further requests start, but
                those in progress are awaited, because they cost money.
        """
        asyncio.run(self._all(bodies, read, tally, arrived))

    async def _all(self, bodies: Any, read: Any, tally: Tally, arrived: Any) -> None:
        import httpx

        places, resting, failed = iter(range(len(bodies))), set[Any](), False

        async def rest(seconds: float) -> None:
            if failed:
                raise asyncio.CancelledError
            resting.add(asyncio.current_task())
            try:
                await self.sleep(seconds)
            finally:
                resting.discard(asyncio.current_task())

        async def work(client: Any) -> None:
            nonlocal failed
            try:
                for place in places:
                    arrived(place, await self._patiently(client, bodies[place], partial(read, place), tally, rest))
            except Exception:
                failed = True
                for _ in places:  # start no further requests
                    pass
                for worker in resting:
                    worker.cancel()
                raise

        size = min(self.concurrency, len(bodies))
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        limits = httpx.Limits(max_connections=size, max_keepalive_connections=size)
        safe = self.url.startswith("https:")  # loading certificates takes longer than a local answer
        async with httpx.AsyncClient(headers=headers, timeout=self.timeout, limits=limits, verify=safe) as client:
            ended = await asyncio.gather(*(work(client) for _ in range(size)), return_exceptions=True)
        for error in ended:
            if isinstance(error, Exception):
                raise error

    async def _patiently(self, client: Any, body: Any, read: Any, tally: Tally, rest: Any) -> Any:
        for tried in itertools.count():
            try:
                return await self._once(client, body, read, tally)
            except _Failed as failure:
                if tried == self.retries:
                    raise EngineError(
                        f"{self.url} failed {tried + 1} times, the last time with: {failure}. "
                        "All answers are kept; try again: selfimprove resume"
                    ) from failure
                tally.retries += 1
                jitter = random.uniform(0.5, 1.0)  # so that many clients do not retry in step
                await rest(max(failure.after, jitter * min(LONGEST_BACKOFF, self.backoff * 2**tried)))

    async def _once(self, client: Any, body: Any, read: Any, tally: Tally) -> Any:
        import httpx

        tally.requests += 1
        try:
            async with asyncio.timeout(self.timeout):  # httpx limits only the time between two chunks of an answer
                reply = await client.post(self.url, json=body)
        except (httpx.HTTPError, TimeoutError) as error:
            raise _Failed(self._safe(f"{type(error).__name__} {error}")) from error
        said = self._safe(f"{reply.status_code} {reply.text}")
        if reply.status_code in AGAIN or reply.status_code >= 500:
            raise _Failed(said, asked_to_wait(reply.headers.get("retry-after", "")))
        if reply.status_code != 200:
            raise EngineError(f"{self.url} answers {said}.{HINTS.get(reply.status_code, '')}")
        try:
            answer = reply.json()
            usage = answer.get("usage") or {}
            tally.prompt_tokens += int(usage.get("prompt_tokens") or 0)
            tally.completion_tokens += int(usage.get("completion_tokens") or 0)
            return read(answer)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise _Failed(f"an unusable answer: {said}") from error

    def _safe(self, text: str) -> str:
        """One short printable line without the key."""
        line = " ".join(printable(text).split())
        return (line.replace(self.key, "***") if self.key else line)[:200]


def asked_to_wait(header: str) -> float:
    """Seconds of a Retry-After header, given as a number or as a date; 0 if it is missing or unreadable."""
    try:
        seconds = float(header) if header[:1].isdigit() else email.utils.parsedate_to_datetime(header).timestamp()
    except (ValueError, TypeError):
        return 0.0
    return min(LONGEST_ASKED, max(0.0, seconds if header[:1].isdigit() else seconds - time.time()))
