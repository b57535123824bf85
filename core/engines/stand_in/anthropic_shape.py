"""Anthropic's messages: requests, replies, errors and rate-limit headers."""

import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from core.engines.stand_in.api_shape import (
    HIDDEN_REASONING,
    AskedReply,
    ErrorAnswer,
    ErrorCause,
    Json,
    RefusedRequestError,
    ReplyFacts,
    bearer_token,
    read_count,
    read_messages,
    read_model,
    read_text,
)
from core.engines.stand_in.rate_limit import Admission
from core.engines.stand_in.scripting import ScriptedReply
from core.scenario.message import Message, Role

ROLES: dict[str, Role] = {"user": "user", "assistant": "assistant"}

ERRORS: dict[ErrorCause, tuple[int, str]] = {
    "auth": (401, "authentication_error"),
    "rate_limit": (429, "rate_limit_error"),
    "quota": (402, "billing_error"),
    "server_error": (500, "api_error"),
    "overloaded": (529, "overloaded_error"),
    "filtered_request": (400, "invalid_request_error"),
    "invalid": (400, "invalid_request_error"),
    "not_found": (404, "not_found_error"),
}

HEADER_NAMES = {"requests": "requests", "tokens": "tokens", "input": "input-tokens", "output": "output-tokens"}

_NO_PREFILL = re.compile(r"claude-[a-z]+-(4-[6-9]|[5-9])")

STOP_REASONS = {"stop": "end_turn", "length": "max_tokens", "content_filter": "refusal"}


class AnthropicShape:
    """POST /v1/messages."""

    name = "anthropic"

    def key_of(self, headers: Mapping[str, str]) -> str | None:
        """The header x-api-key, or a bearer token: the SDK has gone over from the one to the other."""
        return headers.get("x-api-key") or bearer_token(headers)

    def read(self, body: Json) -> AskedReply:
        """What the request asks for; the system prompt becomes the first message."""
        model = read_model(body)
        max_tokens = read_count(body, name="max_tokens")
        if max_tokens is None:
            raise RefusedRequestError("max_tokens: Field required")
        messages = read_messages(body.get("messages"), ROLES)
        _refuse_what_anthropic_refuses(body)
        system = body.get("system")
        if system is not None:
            messages = (Message("system", read_text(system)), *messages)
        asks_cache = isinstance(system, list) and any("cache_control" in block for block in system)
        thinking = body.get("thinking")
        return AskedReply(
            model=model,
            messages=messages,
            choices=1,
            max_tokens=max_tokens,
            asks_cache=asks_cache,
            shows_reasoning=isinstance(thinking, dict) and thinking.get("display") == "summarized",
        )

    def write(self, asked: AskedReply, replies: Sequence[ScriptedReply], *, facts: ReplyFacts) -> Json:
        """A message; `input_tokens` leaves out what the cache read or wrote, as Anthropic's does."""
        reply = replies[0]
        text = [{"type": "text", "text": reply.text}] if reply.text else []
        thinking = (
            [{"type": "thinking", "thinking": HIDDEN_REASONING, "signature": "x"}] if asked.shows_reasoning else []
        )
        details = None
        if reply.finish_reason == "content_filter":
            details = {"type": "refusal", "category": None, "explanation": "simulated refusal of the provider's filter"}
        return {
            "id": f"msg_{facts.response_id}",
            "type": "message",
            "role": "assistant",
            "model": asked.model,
            "content": [*thinking, *text],
            "stop_reason": STOP_REASONS[reply.finish_reason],
            "stop_sequence": None,
            "stop_details": details,
            "usage": {
                "input_tokens": facts.input_tokens - facts.cached_tokens - facts.cache_write_tokens,
                "cache_creation_input_tokens": facts.cache_write_tokens,
                "cache_read_input_tokens": facts.cached_tokens,
                "output_tokens": facts.output_tokens,
            },
        }

    def write_error(self, cause: ErrorCause, message: str) -> ErrorAnswer:
        """Status and Anthropic's error object."""
        status, kind = ERRORS[cause]
        if cause == "filtered_request":
            message = f"Output blocked by content filtering policy ({message})"
        return ErrorAnswer(status, {"type": "error", "error": {"type": kind, "message": message}})

    def limit_headers(self, limits: Mapping[str, Admission], *, unix_time_s: float) -> dict[str, str]:
        """anthropic-ratelimit-*; the reset is a time of day."""
        written = {}
        for name, admission in limits.items():
            prefix = f"anthropic-ratelimit-{HEADER_NAMES[name]}"
            reset = datetime.fromtimestamp(math.ceil(unix_time_s + admission.reset_s), UTC)
            written[f"{prefix}-limit"] = str(admission.limit)
            written[f"{prefix}-remaining"] = str(admission.remaining)
            written[f"{prefix}-reset"] = reset.strftime("%Y-%m-%dT%H:%M:%SZ")
        return written

    def retry_headers(self, retry_after_s: float) -> dict[str, str]:
        """Whole seconds, rounded up."""
        return {"retry-after": str(math.ceil(retry_after_s))}


def _refuse_what_anthropic_refuses(body: Json) -> None:
    """A prefill that ends in white space, or meets thinking or a model of 4.6 and later; thinking at a temperature."""
    last = body["messages"][-1]
    thinking = body.get("thinking")
    thinks = isinstance(thinking, dict) and thinking.get("type") in ("enabled", "adaptive")
    if last["role"] == "assistant":
        text = read_text(last.get("content"))
        if text != text.rstrip():
            raise RefusedRequestError("messages: final assistant content must not end with trailing whitespace")
        if thinks or _NO_PREFILL.search(str(body["model"])):
            raise RefusedRequestError("this model does not support a prefill: the conversation must end with a user")
    if thinks and body.get("temperature", 1) != 1:
        raise RefusedRequestError("temperature may only be set to 1 when thinking is enabled")
    if isinstance(thinking, dict) and thinking.get("type") == "enabled":
        budget = thinking.get("budget_tokens")
        if not isinstance(budget, int) or not 1024 <= budget < body["max_tokens"]:
            raise RefusedRequestError("thinking.budget_tokens: must be from 1024 on and below max_tokens")
