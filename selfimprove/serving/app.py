"""The web application: OpenAI's paths, the state of the server, and limits on what strangers send."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from selfimprove.errors import UserError
from selfimprove.inference.chat import prompts_ids
from selfimprove.records import Rollout
from selfimprove.serving import answering, requests
from selfimprove.serving.answering import Hear, Wanted, streams
from selfimprove.serving.batches import Answer, Batches, Full, Joins, Waiting
from selfimprove.serving.bodies import body_of
from selfimprove.serving.figures import Figures
from selfimprove.serving.replies import Growing, Reply, event, failure, reason_of, tokens_of
from selfimprove.serving.requests import PLAIN, Asked, BadRequest
from selfimprove.serving.served import Served

Handler = Callable[[Request], Awaitable[Response]]
RETRY = 1
"""Seconds after which a client may try again."""
GONE = 499
"""The status of a request whose client went away, which nobody reads."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What strangers may ask for."""

    tokens: int
    """Most tokens of a completion."""
    context: int
    """Tokens of the model's context."""
    body: int = 1 << 20
    """Bytes of a request."""
    requests: int = 1024
    """Requests that are taken and not yet answered."""
    rows: int = 256
    """Answers in a batch."""


@dataclass(kw_only=True)
class Service:
    """The handlers of the paths, and what they share."""

    served: Served
    limits: Limits
    key: str
    """The key that a request must bring; "" asks for none."""
    tokenizer: Any
    """Of the weights, a copy that no other thread uses; None if the engine has none."""
    batches: Batches
    figures: Figures = field(default_factory=Figures)

    # ---- state ------------------------------------------------------------------------------------------------------
    async def health(self, request: Request) -> Response:
        """GET /health."""
        return JSONResponse({"status": "ok"})

    async def metrics(self, request: Request) -> Response:
        """GET /metrics."""
        queue = self.batches
        text = self.figures.text(queue.waiting, queue.running, queue.batches, queue.answered)
        return PlainTextResponse(text, media_type="text/plain; version=0.0.4")

    async def models(self, request: Request) -> Response:
        """GET /v1/models, and one of them."""
        made = [self._model(self.served.name, self.served.facts())]
        if self.served.policy.chain:
            plain = {**self.served.facts(), "refinement": [], "examined": False}
            plain["differs"] = [*plain["differs"], "plain samples"]
            made.append(self._model(self.served.name + PLAIN, plain))
        wanted = request.path_params.get("name")
        if wanted is None:
            return JSONResponse({"object": "list", "data": made})
        for one in made:
            if one["id"] == wanted:
                return JSONResponse(one)
        raise BadRequest(f"no model is called {wanted[:80]!r}", "model", 404)

    def _model(self, name: str, facts: dict[str, Any]) -> dict[str, Any]:
        head = {"id": name, "object": "model", "created": 0, "owned_by": "selfimprove"}
        return {**head, "max_model_len": self.limits.context, "selfimprove": facts}

    # ---- answers ----------------------------------------------------------------------------------------------------
    async def answer(self, request: Request) -> Response:
        """POST /v1/chat/completions and /v1/completions."""
        began, chat = time.monotonic(), request.url.path.endswith("/chat/completions")
        if "json" not in request.headers.get("content-type", "").lower():  # a web page cannot send it to other hosts
            raise BadRequest("send the header Content-Type: application/json", code=415)
        raw = await body_of(request, self.limits.body)
        asked = requests.read(raw, chat, self.served.name, self.limits.tokens, bool(self.served.policy.chain))
        reply = Reply(self.served, asked, self._prompt_tokens(asked))
        heard: asyncio.Queue[tuple[int, int, int]] = asyncio.Queue()
        hears = asked.stream and self.tokenizer is not None and streams(self.served.policy, asked)
        try:
            waiting = self.batches.add(Wanted(asked, _hearing(heard) if hears else None))
        except Full:
            said = f"{self.limits.requests} requests are waiting already; try again"
            return JSONResponse(failure(said, 503), 503, {"Retry-After": str(RETRY)})
        if asked.stream:
            stream = self._stream(reply, waiting, heard, began)
            return StreamingResponse(stream, media_type="text/event-stream", headers={"Cache-Control": "no-cache"})
        rollouts = await self._patient(request, waiting)
        self._count(reply, rollouts, began)
        return JSONResponse(reply.whole(rollouts))

    def _prompt_tokens(self, asked: Asked) -> int:
        """The tokens of a request's prompts.

        Raises:
            BadRequest: one fills the model's context, or the chat template refuses it.
        """
        if self.tokenizer is None:
            return 0
        try:
            rows = prompts_ids(self.tokenizer, [list(talk) for talk in asked.talks])
        except UserError as error:
            raise BadRequest(str(error), "messages") from error
        if (longest := max(map(len, rows))) >= self.limits.context:
            raise BadRequest(f"a prompt of {longest} tokens fills the context of {self.limits.context}", "messages")
        return sum(map(len, rows))

    async def _patient(self, request: Request, waiting: Waiting) -> list[Rollout]:
        """The answers, unless the client goes away before.

        Raises:
            ClientDisconnect: it did.
        """
        gone = asyncio.create_task(_gone(request))
        try:
            await asyncio.wait({gone, waiting.answers}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
            if not waiting.answers.done():
                waiting.answers.cancel()
        if waiting.answers.cancelled():
            raise ClientDisconnect
        return waiting.answers.result()

    async def _stream(
        self, reply: Reply, waiting: Waiting, heard: asyncio.Queue[tuple[int, int, int]], began: float
    ) -> AsyncIterator[str]:
        """The events of an answer: as its tokens come, or as one chunk where they cannot be heard."""
        asked, finished = reply.asked, False
        stops = () if asked.keep_stop else asked.sampling.stop
        growing = [Growing(self.tokenizer, stops) for _ in range(asked.rows)]
        try:
            if asked.chat:
                for place in range(asked.rows):
                    yield reply.chunk(place, "", first=True)
            while not waiting.answers.done():
                for place in await _some(heard, waiting):
                    text, thought = growing[place[0]].hear(place[1])
                    if text or thought:
                        yield reply.chunk(place[0], text, thought)
            try:
                rollouts = waiting.answers.result()
            except asyncio.CancelledError:
                yield event(failure("the server stops", 503))
                return
            except Exception as error:
                yield event(failure(*_told(error)))
                return
            for place, one in enumerate(rollouts):
                text, thought = growing[place].rest(reply.text(one), one.completion[-1].get("thinking", ""))
                if text or thought:
                    yield reply.chunk(place, text, thought)
                yield reply.chunk(place, "", reason=reason_of(one))
            yield reply.last(rollouts)
            self._count(reply, rollouts, began)
            finished = True
        finally:
            if not waiting.answers.done():
                waiting.answers.cancel()
            self.figures.gone += not finished

    def _count(self, reply: Reply, rollouts: list[Rollout], began: float) -> None:
        self.figures.prompt_tokens += reply.prompt_tokens
        self.figures.completion_tokens += sum(map(tokens_of, rollouts))
        self.figures.took(time.monotonic() - began)

    # ---- around all -------------------------------------------------------------------------------------------------
    async def guarded(self, handler: Handler, open_to_all: bool, request: Request) -> Response:
        """Answer a request; what is wrong with it is said as OpenAI's endpoints say it."""
        try:
            if not open_to_all and not self._allowed(request):
                said = "the key is missing or wrong; send the header Authorization: Bearer KEY"
                response: Response = JSONResponse(failure(said, 401), 401, {"WWW-Authenticate": "Bearer"})
            else:
                response = await handler(request)
        except BadRequest as error:
            response = JSONResponse(failure(str(error), error.code, error.field), error.code)
        except ClientDisconnect:
            self.figures.gone += 1
            response = Response(status_code=GONE)
        except Exception as error:
            said, code = _told(error)
            response = JSONResponse(failure(said, code), code)
        self.figures.requests[request.scope["route"].path, response.status_code] += 1
        return response

    def _allowed(self, request: Request) -> bool:
        given = request.headers.get("authorization", "")
        return not self.key or hmac.compare_digest(given.encode(), f"Bearer {self.key}".encode())


def application(service: Service) -> Starlette:
    """The application of a service; its lifespan runs the queue."""

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        work = asyncio.create_task(service.batches.run())
        yield
        work.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await work

    def route(path: str, handler: Handler, method: str = "GET", open_to_all: bool = False) -> Route:
        async def endpoint(request: Request) -> Response:
            return await service.guarded(handler, open_to_all, request)

        return Route(path, endpoint, methods=[method])

    routes = [
        route("/health", service.health, open_to_all=True),
        route("/metrics", service.metrics),
        route("/v1/models", service.models),
        route("/v1/models/{name:path}", service.models),
        route("/v1/chat/completions", service.answer, "POST"),
        route("/v1/completions", service.answer, "POST"),
    ]
    return Starlette(routes=routes, lifespan=lifespan)


def service_of(
    served: Served, limits: Limits, key: str, tokenizer: Any, answer: Answer | None = None, join: bool = True
) -> Service:
    """A service with its queue.

    Args:
        answer: answers a batch; None lets the policy answer.
        join: whether requests may join others that are being drawn.
    """
    policy = served.policy
    joins = Joins(partial(answering.joins, policy), partial(answering.draw_coming, policy)) if join else None
    batches = Batches(answer or partial(answering.answer, policy), limits.requests, limits.rows, joins)
    return Service(served=served, limits=limits, key=key, tokenizer=tokenizer, batches=batches)


async def _gone(request: Request) -> None:
    """Wait until the client goes away."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _some(
    heard: asyncio.Queue[tuple[int, int, int]], waiting: Waiting
) -> list[tuple[int, list[tuple[int, int]]]]:
    """The tokens heard since the last call, by answer; waits until there are some, or the answer is finished."""
    first = asyncio.ensure_future(heard.get())
    await asyncio.wait({first, waiting.answers}, return_when=asyncio.FIRST_COMPLETED)
    found: dict[int, list[tuple[int, int]]] = {}
    if first.done():
        row, place, token = first.result()
        found.setdefault(row, []).append((place, token))
    else:
        first.cancel()
    while not heard.empty():
        row, place, token = heard.get_nowait()
        found.setdefault(row, []).append((place, token))
    return list(found.items())


def _hearing(heard: asyncio.Queue[tuple[int, int, int]]) -> Hear:
    """Puts tokens that the thread of the engine tells of into a queue of this thread."""
    loop = asyncio.get_running_loop()
    return lambda row, place, token: loop.call_soon_threadsafe(heard.put_nowait, (row, place, token))


def _told(error: Exception) -> tuple[str, int]:
    """What a client hears of an error in the engine, and the status; nothing of a bug but its kind."""
    if isinstance(error, UserError):
        return str(error), 400
    return f"the engine failed: {type(error).__name__}", 500
