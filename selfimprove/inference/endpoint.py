"""Concurrent requests with retries to an HTTP endpoint that may be slow, busy, broken or hostile.

Used by the engine `openai`. Retried are failed connections, timeouts, truncated, unreadable or endless answers, and the
status codes 408, 409, 425, 429 and 5xx. Any other refusal ends the run at once. Redirects are not followed, so the key
goes to one host only. What a server sends is counted while it comes, also unpacked, see `endpoint_bodies`.
"""

from __future__ import annotations

import asyncio
import email.utils
import itertools
import random
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

from selfimprove.errors import EngineError
from selfimprove.foreign import bounded_json
from selfimprove.inference import endpoint_bodies
from selfimprove.inference.endpoint_address import is_here
from selfimprove.inference.endpoint_bodies import BodyError
from selfimprove.safety.redaction import printable

AGAIN = (408, 409, 425, 429)
HINTS = {401: " Is the key right?", 403: " Is the key right?", 404: " Are base_url and model right?"}
HINTS |= dict.fromkeys((301, 302, 303, 307, 308), " Redirects are not followed; put the last address into base_url.")
LONGEST_BACKOFF = 60.0
"""Longest wait between two attempts in seconds, unless the endpoint asks for more."""
LONGEST_ASKED = 300.0
"""Longest Retry-After to follow, in seconds."""
TOGETHER = 16
"""Answers of the largest size that may be under way together; with more requests each may be smaller."""


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

    @classmethod
    def fits(cls, values: Any) -> bool:
        """Whether plain values are those of a tally."""
        names = {one.name for one in fields(cls)}
        return isinstance(values, dict) and values.keys() <= names and all(type(one) is int for one in values.values())


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
        async with self._client(size) as client:
            ended = await asyncio.gather(*(work(client) for _ in range(size)), return_exceptions=True)
        for error in ended:
            if isinstance(error, Exception):
                raise error

    def _client(self, size: int) -> Any:
        """A client for so many requests at a time. A proxy of the environment is not asked for hosts of this machine.

        Raises:
            EngineError: the environment names a proxy or certificates that cannot be used.
        """
        import httpx

        headers = {"Accept-Encoding": endpoint_bodies.ACCEPTED}
        headers |= {"Authorization": f"Bearer {self.key}"} if self.key else {}
        limits = httpx.Limits(max_connections=size, max_keepalive_connections=size)
        safe = self.url.startswith("https:")  # loading certificates takes longer than a local answer
        try:
            return httpx.AsyncClient(
                headers=headers,
                timeout=self.timeout,
                limits=limits,
                verify=safe,
                follow_redirects=False,
                trust_env=not is_here(self.url),
            )
        except Exception as error:  # httpx raises what it finds: of URLs, of files, of TLS, of missing packages
            said = self._safe(str(error))
            raise EngineError(
                f"engine.openai cannot use the environment's proxies and certificates: {said}. Look at HTTP_PROXY, "
                "HTTPS_PROXY, ALL_PROXY, SSL_CERT_FILE and SSL_CERT_DIR"
            ) from error

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
        most = endpoint_bodies.LARGEST * TOGETHER // max(TOGETHER, self.concurrency)
        try:
            async with asyncio.timeout(self.timeout):  # httpx limits only the time between two chunks of an answer
                async with client.stream("POST", self.url, json=body) as reply:
                    content = await endpoint_bodies.content(reply, most)
        except (httpx.HTTPError, httpx.InvalidURL, BodyError, TimeoutError, OSError, ValueError) as error:
            raise _Failed(self._safe(f"{type(error).__name__} {error}")) from error
        said = self._safe(f"{reply.status_code} {content[:5000].decode(errors='replace')}")
        if reply.status_code in AGAIN or reply.status_code >= 500:
            raise _Failed(said, asked_to_wait(reply.headers.get("retry-after", "")))
        if reply.status_code != 200:
            raise EngineError(f"{self.url} answers {said}.{HINTS.get(reply.status_code, '')}")
        try:
            answer = bounded_json.loads(content)
            usage = answer.get("usage") or {}
            spent = [_tokens(usage.get(name)) for name in ("prompt_tokens", "completion_tokens")]
            tally.prompt_tokens += spent[0]
            tally.completion_tokens += spent[1]
            return read(answer)
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise _Failed(f"an unusable answer ({self._safe(str(error))}): {said}") from error

    def _safe(self, text: str) -> str:
        """One short printable line without the key."""
        line = " ".join(printable(text).split())
        return (line.replace(self.key, "***") if self.key else line)[:200]


def _tokens(value: Any) -> int:
    """A number of tokens that an endpoint reports; 0 if it reports none.

    Raises:
        ValueError: it is not a number of tokens.
    """
    found = bounded_json.number(value or 0)
    if not 0 <= found < 1e12 or found % 1:
        raise ValueError("usage that is not a number of tokens")
    return int(found)


def asked_to_wait(header: str) -> float:
    """Seconds of a Retry-After header, given as a number or as a date; 0 if it is missing or unreadable."""
    if re.fullmatch(r"[0-9]{1,20}(\.[0-9]{0,20})?", header):
        return min(LONGEST_ASKED, float(header))
    try:
        return min(LONGEST_ASKED, max(0.0, email.utils.parsedate_to_datetime(header).timestamp() - time.time()))
    except (ValueError, TypeError, IndexError, OverflowError, OSError):
        return 0.0
