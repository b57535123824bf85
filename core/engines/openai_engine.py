"""OpenAI and every server that speaks one of its APIs, through the real SDK: the one file that imports it."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import httpx2
import openai
from openai import RequestOptions

from core.engines.api_exchange import (
    Attempt,
    base_url_of,
    has_own_header,
    headers_of,
    http_settings,
    json_object,
    key_to_send,
    one_request,
    provenance_of,
    text_of,
)
from core.engines.api_failures import ApiError
from core.engines.engine import EngineFacts, EngineOrder
from core.engines.openai_shapes import SHAPES, Answer, OpenAIShape
from core.plan.records import Call, Outcome, Reply
from core.spec.providers import ApiKind

PATHS: dict[ApiKind, str] = {"chat": "/chat/completions", "completions": "/completions", "responses": "/responses"}


class OpenAIEngine:
    """One client of one model; calls share its connections."""

    def __init__(self, order: EngineOrder) -> None:
        self._order = order
        self._base_url = base_url_of(order)
        self._version = f"openai {openai.__version__}"
        self._client: openai.AsyncOpenAI | None = None

    async def start(self) -> EngineFacts:
        """Open the client. SpecError where the key is missing."""
        self._client = openai.AsyncOpenAI(
            api_key=key_to_send(self._order),
            base_url=self._base_url,
            max_retries=0,
            timeout=self._order.timeout_s,
            http_client=openai.DefaultAioHttpClient(**http_settings(self._base_url, self._order.timeout_s)),
        )
        return EngineFacts(version=self._version, provenance=provenance_of({}, self._order))

    async def answer(self, call: Call, *, attempt: int) -> Outcome:
        """Make the call once.

        By `post` and not by `chat.completions.create`, which walks through every message and through the answer: that
        took four tenths of this process's time, and one process then reached 0.75 of the calls that it reaches so.
        """
        this = Attempt(call.call_id, attempt, self._order)
        entry = self._order.entry_of(call)
        api = entry.api_kind or "chat"
        client, body, options = self._opened, SHAPES[api].body(call, entry) | entry.extra_body, self._way(call, attempt)
        began_s = time.perf_counter()
        try:
            async with asyncio.timeout(self._order.timeout_s):
                raw = await client.post(PATHS[api], cast_to=httpx2.Response, body=body, options=options)
        except openai.APIStatusError as error:
            this.heard(error.response.headers, latency_s=time.perf_counter() - began_s, is_refusal=True)
            return this.refused_with(error.status_code, error.response.content, error.response.headers)
        except openai.APIConnectionError as error:
            return this.lost(error)
        except TimeoutError:
            return this.timed_out()
        except Exception as error:  # noqa: BLE001 - the transport lets unmapped errors through; none may reach the lane
            return this.lost(error)
        latency_s = time.perf_counter() - began_s
        this.heard(raw.headers, latency_s=latency_s, is_refusal=False)
        failure = this.mismatch(raw.headers)
        if failure is not None:
            return failure
        return self._read(this, call, raw.content, raw.headers, shape=SHAPES[api], latency_s=latency_s)

    async def healthy(self) -> bool:
        """Whether the client is open."""
        return self._client is not None and not self._client.is_closed()

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.close()

    @property
    def _opened(self) -> openai.AsyncOpenAI:
        if self._client is None:
            raise RuntimeError("answer before start")
        return self._client

    def _way(self, call: Call, attempt: int) -> RequestOptions:
        entry = self._order.entry_of(call)
        headers: dict[str, str | openai.Omit] = {**headers_of(call, attempt, entry=entry, key=key_to_send(self._order))}
        if has_own_header(entry):
            headers["Authorization"] = openai.Omit()
        return {"headers": headers, "params": dict(entry.query)}

    def _read(
        self,
        this: Attempt,
        call: Call,
        content: bytes,
        headers: Mapping[str, str],
        *,
        shape: OpenAIShape,
        latency_s: float,
    ) -> Outcome:
        # Read from the JSON itself: the SDK's objects are built unchecked, and cost as much as the request.
        body = json_object(content)
        if body is None:
            return this.malformed(f"the answer is not a JSON object ({len(content)} bytes)", headers)
        answers = shape.read(body)
        if isinstance(answers, ApiError):
            return this.refused(answers, headers)
        if not answers:
            return this.malformed("the answer has no choices", headers)
        replies = [
            self._reply(this, body, answer, call_id, headers=headers, latency_s=latency_s)
            for answer, call_id in zip(answers, call.call_ids, strict=False)
        ]
        return replies[0] if len(replies) == 1 else one_request(replies)

    def _reply(
        self,
        this: Attempt,
        body: dict[str, Any],
        answer: Answer,
        call_id: str,
        *,
        headers: Mapping[str, str],
        latency_s: float,
    ) -> Reply:
        return Reply(
            call_id=call_id,
            text=answer.text,
            finish_reason=answer.finish_reason,
            reasoning_text=answer.reasoning_text,
            refusal=answer.refusal,
            usage=answer.usage,
            served_model=text_of(body.get("model")),
            engine_version=self._version,
            response_id=text_of(body.get("id")),
            attempts=this.number,
            latency_s=latency_s,
            provenance=provenance_of(headers, self._order),
        )
