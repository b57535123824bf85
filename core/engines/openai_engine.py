"""OpenAI and every server that speaks its chat completions, through the real SDK: the one file that imports it."""

import asyncio
import time
from collections.abc import Mapping
from itertools import takewhile
from typing import Any
from urllib.parse import urlsplit

import httpx2
import openai

from core.engines.api_exchange import (
    Attempt,
    base_url_of,
    count,
    http_settings,
    id_headers,
    json_object,
    key_to_send,
    one_request,
    provenance_of,
    text_of,
)
from core.engines.api_failures import ApiError, error_in_body
from core.engines.engine import EngineFacts, EngineOrder
from core.plan.records import Call, Outcome, Reply, Usage


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
        client, request, headers = self._opened, self._request(call), id_headers(call, attempt)
        began_s = time.perf_counter()
        try:
            async with asyncio.timeout(self._order.timeout_s):
                raw = await client.post(
                    "/chat/completions", cast_to=httpx2.Response, body=request, options={"headers": headers}
                )
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
        return self._read(this, call, raw.content, raw.headers, latency_s=latency_s)

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

    def _request(self, call: Call) -> dict[str, Any]:
        # OpenAI's newer models refuse `max_tokens`; compatible servers know nothing else for sure.
        is_provider = urlsplit(self._base_url).hostname == "api.openai.com"
        request: dict[str, Any] = {
            "model": self._order.entry.model,
            "messages": [{"role": message.role, "content": message.text} for message in call.messages],
            "max_completion_tokens" if is_provider else "max_tokens": call.max_tokens,
        }
        if call.temperature is not None:
            request["temperature"] = call.temperature
        if call.rest:
            request["n"] = len(call.call_ids)
        return request

    def _read(
        self, this: Attempt, call: Call, content: bytes, headers: Mapping[str, str], *, latency_s: float
    ) -> Outcome:
        # Read from the JSON itself: the SDK's objects are built unchecked, and cost as much as the request.
        body = json_object(content)
        if body is None:
            return this.malformed(f"the answer is not a JSON object ({len(content)} bytes)", headers)
        choices = body.get("choices")
        given = _choices(choices)
        if not given:
            error = _error_within(body)
            return (
                this.malformed("the answer has no choices", headers) if error is None else this.refused(error, headers)
            )
        replies = [
            self._reply(this, body, choice, call_id, headers=headers, latency_s=latency_s)
            for choice, call_id in zip(given, call.call_ids, strict=False)
        ]
        return replies[0] if len(replies) == 1 else one_request(replies)

    def _reply(
        self,
        this: Attempt,
        body: dict[str, Any],
        choice: dict[str, Any],
        call_id: str,
        *,
        headers: Mapping[str, str],
        latency_s: float,
    ) -> Reply:
        message = choice["message"]
        return Reply(
            call_id=call_id,
            text=_content(message.get("content")),
            finish_reason=choice.get("finish_reason") or "",
            reasoning_text=text_of(message.get("reasoning_content")) or text_of(message.get("reasoning")),
            refusal=text_of(message.get("refusal")),
            usage=_usage(body.get("usage")),
            served_model=text_of(body.get("model")),
            engine_version=self._version,
            response_id=text_of(body.get("id")),
            attempts=this.number,
            latency_s=latency_s,
            provenance=provenance_of(headers, self._order),
        )


def _choices(choices: object) -> list[dict[str, Any]]:
    """Those up to the first that is none."""
    given = choices if isinstance(choices, list) else []
    return list(takewhile(lambda choice: isinstance(choice, dict) and isinstance(choice.get("message"), dict), given))


def _content(content: object) -> str:
    if isinstance(content, list):
        return "".join(str(part.get("text") or "") for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def _error_within(body: dict[str, Any]) -> ApiError | None:
    """The error that some routers send with status 200, its real status as the code."""
    error = body.get("error")
    code = error.get("code") if isinstance(error, dict) else None
    return error_in_body(code, body) if isinstance(code, int) and 400 <= code < 600 else None


def _usage(usage: object) -> Usage:
    return Usage(
        input=count(usage, "prompt_tokens"),
        cached=count(usage, "prompt_tokens_details", "cached_tokens"),
        cache_write=count(usage, "prompt_tokens_details", "cache_write_tokens"),
        output=count(usage, "completion_tokens"),
        reasoning=count(usage, "completion_tokens_details", "reasoning_tokens"),
    )
