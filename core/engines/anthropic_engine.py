"""Anthropic's messages through the real SDK: the one file that imports it."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import anthropic

from core.engines.api_exchange import (
    Attempt,
    base_url_of,
    count,
    has_own_header,
    headers_of,
    http_settings,
    json_object,
    key_to_send,
    provenance_of,
    text_of,
)
from core.engines.engine import EngineFacts, EngineOrder
from core.plan.records import Call, Outcome, Reply, Usage
from core.plan.turns import placed
from core.schedule.budget import prompt_bytes_of
from core.schedule.prompt_sizes import LEAST_CACHED_BYTES
from core.spec.model_entry import ModelSpec


class AnthropicEngine:
    """One client of one model; calls share its connections."""

    def __init__(self, order: EngineOrder) -> None:
        self._order = order
        # The SDK appends /v1/messages itself.
        self._base_url = base_url_of(order).rstrip("/").removesuffix("/v1")
        self._version = f"anthropic {anthropic.__version__}"
        self._client: anthropic.AsyncAnthropic | None = None

    async def start(self) -> EngineFacts:
        """Open the client. SpecError where the key is missing."""
        self._client = anthropic.AsyncAnthropic(
            api_key=key_to_send(self._order),
            base_url=self._base_url,
            max_retries=0,
            timeout=self._order.timeout_s,
            open_telemetry=False,
            http_client=anthropic.DefaultAioHttpClient(**http_settings(self._base_url, self._order.timeout_s)),
        )
        return EngineFacts(version=self._version, provenance=provenance_of({}, self._order))

    async def answer(self, call: Call, *, attempt: int) -> Outcome:
        """Make the call once."""
        this = Attempt(call.call_id, attempt, self._order)
        client, request = self._opened, self._request(call, attempt)
        began_s = time.perf_counter()
        try:
            async with asyncio.timeout(self._order.timeout_s):
                raw = await client.messages.with_raw_response.create(**request)
        except anthropic.APIStatusError as error:
            this.heard(error.response.headers, latency_s=time.perf_counter() - began_s, is_refusal=True)
            return this.refused_with(error.status_code, error.response.content, error.response.headers)
        except anthropic.APIConnectionError as error:
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
        return self._read(this, raw.http_response.content, raw.headers, latency_s=latency_s)

    async def healthy(self) -> bool:
        """Whether the client is open."""
        return self._client is not None and not self._client.is_closed()

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.close()

    @property
    def _opened(self) -> anthropic.AsyncAnthropic:
        if self._client is None:
            raise RuntimeError("answer before start")
        return self._client

    def _request(self, call: Call, attempt: int) -> dict[str, Any]:
        entry = self._order.entry_of(call)
        messages = placed(call.messages, entry)
        request: dict[str, Any] = {
            "model": entry.model,
            "max_tokens": call.max_tokens,
            "messages": [
                {"role": message.role, "content": message.text} for message in messages if message.role != "system"
            ],
            "extra_headers": headers_of(call, attempt, entry=entry, key=key_to_send(self._order)),
            "extra_query": dict(entry.query),
        }
        if has_own_header(entry):
            request["extra_headers"]["Authorization"] = anthropic.Omit()
        system = "\n\n".join(message.text for message in messages if message.role == "system")
        if call.is_asked_again and prompt_bytes_of(call) >= LEAST_CACHED_BYTES:
            last = request["messages"][-1]
            last["content"] = [_kept(last["content"])]
        if len(system.encode()) >= LEAST_CACHED_BYTES:
            # many calls share it: the provider keeps it for five minutes and reads it at a tenth of the price
            request["system"] = [_kept(system)]
        elif system:
            request["system"] = system
        if entry.stops:
            request["stop_sequences"] = list(entry.stops)
        thinking = _thinking(entry)
        if thinking is not None:
            request["thinking"] = thinking
        # The SDK has dropped these arguments; the API still takes them for the models that have them.
        body: dict[str, Any] = {**entry.sampling.fixed, **entry.extra_body}
        if call.temperature is not None:
            body["temperature"] = call.temperature
        if entry.reasoning.effort is not None:
            body["output_config"] = {**entry.extra_body.get("output_config", {}), "effort": entry.reasoning.effort}
        return request | ({"extra_body": body} if body else {})

    def _read(self, this: Attempt, content: bytes, headers: Mapping[str, str], *, latency_s: float) -> Outcome:
        body = json_object(content)
        blocks = body.get("content") if body is not None else None
        if body is None or not isinstance(blocks, list):
            return this.malformed(f"the answer is not a message ({len(content)} bytes)", headers)
        details = body.get("stop_details")
        return Reply(
            call_id=this.call_id,
            text=_joined(blocks, kind="text", field="text"),
            finish_reason=body.get("stop_reason") or "",
            reasoning_text=_joined(blocks, kind="thinking", field="thinking") or None,
            refusal=text_of(details.get("explanation")) if isinstance(details, dict) else None,
            usage=_usage(body.get("usage")),
            served_model=text_of(body.get("model")),
            engine_version=self._version,
            response_id=text_of(body.get("id")),
            attempts=this.number,
            latency_s=latency_s,
            provenance=provenance_of(headers, self._order),
        )


def _thinking(entry: ModelSpec) -> dict[str, Any] | None:
    """The thinking that the entry asks for; its text too, where it is read as the scratchpad: newer models omit it."""
    reasoning = entry.reasoning
    if reasoning.mode is None:
        return None
    thinking: dict[str, Any] = {"type": reasoning.mode}
    if reasoning.budget_tokens is not None:
        thinking["budget_tokens"] = reasoning.budget_tokens
    if reasoning.mode != "disabled" and reasoning.scratchpad_source != "tags":
        thinking["display"] = "summarized"
    return thinking


def _kept(text: str) -> dict[str, Any]:
    """A text up to which the provider keeps the prompt."""
    return {"type": "text", "text": text, "cache_control": {"type": "ephemeral"}}


def _joined(blocks: list[Any], *, kind: str, field: str) -> str:
    return "".join(
        str(block.get(field) or "") for block in blocks if isinstance(block, dict) and block.get("type") == kind
    )


def _usage(usage: object) -> Usage:
    """Anthropic's `input_tokens` leaves out what its cache read and wrote; ours counts every prompt token."""
    fresh, cached = count(usage, "input_tokens"), count(usage, "cache_read_input_tokens")
    cache_write = count(usage, "cache_creation_input_tokens")
    return Usage(
        input=None if fresh is None else fresh + (cached or 0) + (cache_write or 0),
        cached=cached,
        cache_write=cache_write,
        output=count(usage, "output_tokens"),
        reasoning=count(usage, "output_tokens_details", "thinking_tokens"),
    )
