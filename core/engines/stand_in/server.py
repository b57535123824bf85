"""The stand-in server: answers OpenAI's and Anthropic's APIs on loopback with a behaviour's replies.

A reply is a function of the behaviour, the id in `X-Client-Request-Id` before the dot, and the choice index; every
answer carries `X-Afgap-Stand-In: <digest>`.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from aiohttp import web

from core.engines.stand_in.anthropic_shape import AnthropicShape
from core.engines.stand_in.api_shape import ApiShape, AskedReply, ErrorCause, Json, RefusedRequestError, ReplyFacts
from core.engines.stand_in.arrivals import Arrivals
from core.engines.stand_in.behaviour import Behaviour
from core.engines.stand_in.drawing import uniform
from core.engines.stand_in.headers import REQUEST_ID_HEADER, STAND_IN_HEADER
from core.engines.stand_in.openai_raw_shape import AzureShape, CompletionsShape, ResponsesShape
from core.engines.stand_in.openai_shape import OpenAIShape
from core.engines.stand_in.rate_limit import LimitKind, RateLimits, RequestCost
from core.engines.stand_in.scripting import AttemptFault, ScriptedReply, scripted_fault, scripted_reply
from core.engines.stand_in.tokens import cacheable_tokens, estimate_tokens, prompt_tokens
from core.engines.stand_in.traffic import Traffic
from core.identity import text_digest

LOOPBACK = "127.0.0.1"

_LARGEST_REQUEST_BYTES = 64 * 2**20


@dataclass(frozen=True, slots=True)
class StandInOptions:
    """What a server does beside its behaviour."""

    rpm: int | None = None
    """Requests per minute over both APIs; None: no limit."""
    tpm: int | None = None
    """Tokens per minute, the prompt and max_tokens of each request; None: no limit."""
    input_tpm: int | None = None
    """Prompt tokens per minute, without what is read from the cache; None: no limit."""
    output_tpm: int | None = None
    """Reply tokens per minute, counted when they are written; None: no limit."""
    limit_kind: LimitKind = "bucket"
    """How the limits count."""
    halve_after_s: float | None = None
    """All limits are halved so long after the first request; None: never."""
    limit_headers: bool = True
    """Whether answers tell of the limits."""
    latency_ms: float | None = None
    """In place of the behaviour's latency."""
    accept_key: str | None = None
    """The one key that is accepted; None: any, also none."""
    busy_s: float | None = None
    """For so long from the first request on all are answered 429, with this as the time to wait; None: never."""
    most_choices: int | None = None
    """A request for more choices is given so many, as some servers do; None: as many as it asks for."""
    attempt_faults: bool = True
    """Whether the behaviour's faults of single attempts are played; without them every reply is the same."""


@dataclass(frozen=True, slots=True)
class RequestId:
    """The call id and attempt that a request carries."""

    call_id: str
    attempt: int


class StandInServer:
    """A server on an ephemeral (or given) loopback port: `async with StandInServer(behaviour) as server`."""

    def __init__(self, behaviour: Behaviour, options: StandInOptions | None = None, *, port: int = 0) -> None:
        self.behaviour = behaviour
        self.port = port
        self._options = options or StandInOptions()
        self._limits = _limits_of(self._options)
        self._traffic = Traffic()
        latency_ms = self._options.latency_ms
        self._latency_s = (behaviour.latency_ms if latency_ms is None else latency_ms) / 1000
        self._arrivals = Arrivals()
        self._under_way = 0
        self._busy_until_s: float | None = None
        self._closing = asyncio.Event()
        self._runner: web.AppRunner | None = None

    @property
    def openai_url(self) -> str:
        """The `base_url` for an entry of engine openai."""
        return f"http://{LOOPBACK}:{self.port}/v1"

    @property
    def anthropic_url(self) -> str:
        """The `base_url` for an entry of engine anthropic."""
        return f"http://{LOOPBACK}:{self.port}"

    async def start(self) -> None:
        """Listen. OSError where the port is taken."""
        app = web.Application(client_max_size=_LARGEST_REQUEST_BYTES)
        app.on_response_prepare.append(self._stamp)
        app.router.add_post("/v1/chat/completions", self._openai)
        app.router.add_post("/v1/completions", self._completions)
        app.router.add_post("/v1/responses", self._responses)
        app.router.add_post("/openai/deployments/{deployment}/chat/completions", self._azure)
        app.router.add_post("/v1/messages", self._anthropic)
        app.router.add_get("/v1/models", self._models)
        app.router.add_get("/_stand_in/counts", self._counts)
        app.router.add_post("/_stand_in/reset", self._reset)
        # A client that has left cancels its handler: else each planted hang would be held until the end.
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, LOOPBACK, self.port, backlog=4096)
        await site.start()
        self.port = int(self._runner.addresses[0][1])

    async def close(self) -> None:
        """Stop listening and let go of requests that hang."""
        self._closing.set()
        if self._runner is not None:
            await self._runner.cleanup()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def counts(self) -> Json:
        """What GET /_stand_in/counts answers; `under_way` of one with a latency, `by_second` of a limited one only."""
        counts = self._arrivals.counts() | {"under_way": self._under_way}
        return counts | ({"by_second": self._traffic.by_second()} if self._limits else {})

    async def _stamp(self, _: web.Request, response: web.StreamResponse) -> None:
        response.headers[STAND_IN_HEADER] = self.behaviour.digest

    async def _openai(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, OpenAIShape())

    async def _completions(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, CompletionsShape())

    async def _responses(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, ResponsesShape())

    async def _azure(self, request: web.Request) -> web.StreamResponse:
        if not request.query.get("api-version"):
            status, body = AzureShape().write_error("not_found", "resource not found: name an api-version")
            return web.json_response(body, status=status)
        return await self._answer(request, AzureShape())

    async def _anthropic(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, AnthropicShape())

    async def _answer(self, request: web.Request, shape: ApiShape) -> web.StreamResponse:
        raw = await request.read()
        request_id = self._arrive(request.headers.get(REQUEST_ID_HEADER), raw, shape=shape)
        if self._options.accept_key is not None and shape.key_of(request.headers) != self._options.accept_key:
            return self._refuse(shape, request_id, cause="auth", message="this key is not accepted")
        asked, problem = _read(shape, raw)
        headers: dict[str, str] = {}
        if self._options.busy_s is not None and self._is_busy(self._options.busy_s):
            headers = shape.retry_headers(self._options.busy_s)
            return self._refuse(shape, request_id, cause="rate_limit", message="too many requests", headers=headers)
        if self._limits is not None:
            headers, is_admitted = self._admit(self._limits, asked, request_id, shape=shape)
            if not is_admitted:
                return self._refuse(shape, request_id, cause="rate_limit", message="too many requests", headers=headers)
        if asked is None:
            return self._refuse(shape, request_id, cause="invalid", message=problem, headers=headers)
        fault = self._attempt_fault(request_id)
        if fault == "hang" or fault == "drop":
            return await self._lose(request, request_id, hangs=fault == "hang")
        if fault is not None and fault != "cut_json":
            if fault == "rate_limit":
                headers |= shape.retry_headers(self.behaviour.faults.retry_after_s)
            return self._refuse(shape, request_id, cause=fault, message=f"simulated fault: {fault}", headers=headers)
        if self._latency_s:
            self._under_way += 1
            try:
                await asyncio.sleep(self._latency_s)
            finally:
                self._under_way -= 1
        return self._reply(shape, asked, request_id, headers=headers, is_cut=fault == "cut_json")

    def _is_busy(self, busy_s: float) -> bool:
        if self._busy_until_s is None:
            self._busy_until_s = time.monotonic() + busy_s
        return time.monotonic() < self._busy_until_s

    def _attempt_fault(self, request_id: RequestId) -> AttemptFault | None:
        if not self._options.attempt_faults:
            return None
        return scripted_fault(self.behaviour, call_id=request_id.call_id, attempt=request_id.attempt)

    def _admit(
        self, limits: RateLimits, asked: AskedReply | None, request_id: RequestId, *, shape: ApiShape
    ) -> tuple[dict[str, str], bool]:
        """The headers that tell of the limits, and whether they let the request in."""
        now_s = time.monotonic()
        cost = RequestCost(0, 0, 0) if asked is None else self._cost(asked, request_id)
        admission = limits.admit(cost, now_s)
        self._traffic.decided(now_s, is_admitted=admission.is_admitted, tokens=cost.tokens, limits=limits.in_force())
        headers = shape.limit_headers(admission.by_name, unix_time_s=time.time()) if self._options.limit_headers else {}
        if not admission.is_admitted:
            headers |= shape.retry_headers(admission.retry_after_s)
        return headers, admission.is_admitted

    def _cost(self, asked: AskedReply, request_id: RequestId) -> RequestCost:
        prompt = prompt_tokens(asked.messages)
        return RequestCost(
            tokens=prompt + asked.choices * (asked.max_tokens or 0),
            input=prompt - self._cached(asked, request_id),
            output=0,  # what is written counts, once it is
        )

    def _cached(self, asked: AskedReply, request_id: RequestId) -> int:
        is_hit = (
            uniform(self.behaviour.digest, request_id.call_id, purpose="prompt cache") < self.behaviour.cached_share
        )
        return cacheable_tokens(asked.messages) if asked.asks_cache and is_hit else 0

    def _reply(
        self, shape: ApiShape, asked: AskedReply, request_id: RequestId, *, headers: Mapping[str, str], is_cut: bool
    ) -> web.Response:
        call_id = request_id.call_id
        replies = [
            scripted_reply(self.behaviour, asked.messages, call_id=call_id, choice=choice, max_tokens=asked.max_tokens)
            for choice in range(min(asked.choices, self._options.most_choices or asked.choices))
        ]
        if replies[0].fault == "filtered_request":
            return self._refuse(
                shape, request_id, cause="filtered_request", message="simulated filter", headers=headers
            )
        facts = self._facts(asked, replies, request_id)
        if self._limits is not None:
            self._limits.count_later("output", facts.output_tokens, time.monotonic())
        body = json.dumps(shape.write(asked, replies, facts=facts)).encode()
        self._arrivals.answered(call_id, kind="cut_json" if is_cut else replies[0].fault or "ok")
        body = body[: len(body) // 2] if is_cut else body
        return web.Response(body=body, content_type="application/json", headers=headers)

    def _facts(self, asked: AskedReply, replies: list[ScriptedReply], request_id: RequestId) -> ReplyFacts:
        cached = self._cached(asked, request_id)
        cacheable = cacheable_tokens(asked.messages) if asked.asks_cache else 0
        return ReplyFacts(
            response_id=f"simulated-{request_id.call_id[:32]}-{request_id.attempt}",
            input_tokens=prompt_tokens(asked.messages),
            cached_tokens=cached,
            cache_write_tokens=cacheable - cached,
            output_tokens=sum(estimate_tokens(reply.text) for reply in replies),
        )

    async def _lose(self, request: web.Request, request_id: RequestId, *, hangs: bool) -> web.StreamResponse:
        """Close the connection without an answer: at once, or after the behaviour's time, or with client or server."""
        self._arrivals.answered(request_id.call_id, kind="hang" if hangs else "drop")
        if hangs:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.behaviour.faults.hang_s):
                    await self._closing.wait()
        if request.transport is not None:
            request.transport.abort()
        return web.Response(status=500)

    def _refuse(
        self,
        shape: ApiShape,
        request_id: RequestId,
        *,
        cause: ErrorCause,
        message: str,
        headers: Mapping[str, str] | None = None,
    ) -> web.Response:
        self._arrivals.answered(request_id.call_id, kind=cause)
        status, body = shape.write_error(cause, message)
        return web.Response(
            status=status, body=json.dumps(body).encode(), content_type="application/json", headers=headers
        )

    def _arrive(self, header: str | None, raw: bytes, *, shape: ApiShape) -> RequestId:
        call_id, _, attempt = (header or "").rpartition(".")
        if call_id and attempt.isdecimal():
            self._arrivals.arrive(call_id, api=shape.name)
            return RequestId(call_id, int(attempt))
        # A client that is not ours: the same request is the same call, and each arrival another attempt.
        call_id = header or text_digest(raw.decode(errors="replace"))
        return RequestId(call_id, self._arrivals.arrive(call_id, api=shape.name))

    async def _models(self, _: web.Request) -> web.Response:
        model = {"id": self.behaviour.name, "object": "model", "type": "model", "owned_by": "stand-in", "created": 0}
        return web.json_response({"object": "list", "data": [model], "has_more": False})

    async def _counts(self, _: web.Request) -> web.Response:
        return web.json_response(self.counts())

    async def _reset(self, _: web.Request) -> web.Response:
        self._arrivals, self._traffic = Arrivals(), Traffic()
        return web.json_response({})


def _limits_of(options: StandInOptions) -> RateLimits | None:
    """The limits that the options name; None where they name none."""
    limits = RateLimits(
        kind=options.limit_kind,
        rpm=options.rpm,
        tpm=options.tpm,
        input_tpm=options.input_tpm,
        output_tpm=options.output_tpm,
        halve_after_s=options.halve_after_s,
    )
    return limits if limits.limits else None


def _read(shape: ApiShape, raw: bytes) -> tuple[AskedReply | None, str]:
    """What is asked, or why that can't be read."""
    try:
        return shape.read(_read_json(raw)), ""
    except RefusedRequestError as error:
        return None, str(error)


def _read_json(raw: bytes) -> Json:
    try:
        body = json.loads(raw)
    except ValueError:
        raise RefusedRequestError("the body is not valid JSON") from None
    if not isinstance(body, dict):
        raise RefusedRequestError("the body is not a JSON object")
    return body
